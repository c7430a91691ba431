// SPDX-License-Identifier: GPL-2.0

//! A 0.90 superblock as `mdadm --examine` prints it.

use md_core::format::{
    ident::Uuid,
    sb0::{Descriptor, DiskState, Sb0},
    sb1::CrashLog,
};

use super::{
    array,
    listing::{level, Fields, Ours},
    size, Image,
};

/// The UUID as mdadm prints that of a 0.90 array: four words of the host.
pub(super) fn uuid(uuid: Uuid) -> String {
    let bytes = uuid.bytes();
    let words = bytes
        .chunks(4)
        .map(|word| u32::from_ne_bytes(word.try_into().expect("four bytes")));
    words
        .map(|word| format!("{word:08x}"))
        .collect::<Vec<_>>()
        .join(":")
}

pub(super) fn examine(sb: &Sb0<'_>) -> Fields {
    let mut ours = Ours::default();
    let array = sb.array();
    array::examine(&mut ours, array, sb.created(), sb.checksum());
    ours.add(
        "Version",
        format!("0.{:02}.{:02}", sb.minor_version(), sb.patch_version()),
    );
    ours.add("UUID", uuid(sb.set_uuid()));
    ours.add("Preferred Minor", sb.preferred_minor());
    let counts = sb.counts();
    ours.add("Total Devices", counts.all);
    ours.add("Active Devices", counts.active);
    ours.add("Working Devices", counts.working);
    ours.add("Failed Devices", counts.failed);
    ours.add("Spare Devices", counts.spare);
    let bitmap = matches!(sb.member().crash_log, CrashLog::Bitmap(_));
    ours.add_if(bitmap, "Internal Bitmap", "present");
    if let Some(size) = size::array_size(array) {
        ours.add("Used Dev Size", array.member_size.to_kib());
        ours.add("Array Size", size.to_kib());
    }
    ours.0
}

/// Compares the table of devices: the first row is this member, each other the descriptor of its number.
pub(super) fn compare_table(image: &Image, sb: &Sb0<'_>) {
    let text = image.listing.listing("mdadm --examine").expect("a listing");
    let rows = text.lines().map(str::trim);
    let rows = rows
        .filter(|row| row.starts_with("this ") || row.starts_with(|c: char| c.is_ascii_digit()));
    let mut compared = 0;
    for row in rows {
        let words: Vec<&str> = row.split_whitespace().collect();
        let number = match words[0] {
            "this" => sb.number().get(),
            index => index.parse().expect("a number"),
        };
        let disk = sb
            .descriptors()
            .nth(usize::try_from(number).expect("below 27"));
        let ours = disk_row(disk.expect("a descriptor"));
        let theirs: Vec<&str> = words[1..]
            .iter()
            .copied()
            .filter(|word| !word.starts_with("/dev/"))
            .collect();
        assert_eq!(
            theirs, ours,
            "{}: mdadm's (left) and our row {number}",
            image.name
        );
        compared += 1;
    }
    let spare = sb.counts().spare;
    let slots = sb.array().raid_disks + array::leaving(sb.array());
    assert_eq!(
        compared,
        1 + u32::from(slots) + spare,
        "{}: rows",
        image.name
    );
}

fn disk_row(disk: Descriptor) -> Vec<String> {
    let numbers = [
        disk.number.get(),
        disk.device.major,
        disk.device.minor,
        disk.raid_disk,
    ];
    let words = [
        (DiskState::FAULTY, "faulty"),
        (DiskState::ACTIVE, "active"),
        (DiskState::SYNC, "sync"),
        (DiskState::REMOVED, "removed"),
        (DiskState::WRITE_MOSTLY, "write-mostly"),
        (DiskState::FAILFAST, "failfast"),
    ];
    let known = DiskState::FAULTY
        .with(DiskState::ACTIVE)
        .with(DiskState::SYNC);
    let spare = (!disk.state.intersects(known)).then_some("spare");
    let set = words
        .iter()
        .filter(|(bit, _)| disk.state.contains(*bit))
        .map(|(_, word)| *word);
    let words = set.chain(spare).map(str::to_owned);
    numbers.iter().map(u32::to_string).chain(words).collect()
}

pub(super) fn export(sb: &Sb0<'_>) -> Fields {
    let mut ours = Ours::default();
    ours.add("MD_LEVEL", level(sb.array().level));
    ours.add("MD_DEVICES", sb.array().raid_disks);
    ours.add("MD_UUID", uuid(sb.set_uuid()));
    // mdadm 4.6 exports the time of creation under this name.
    ours.add("MD_UPDATE_TIME", sb.created().seconds());
    ours.add("MD_EVENTS", sb.array().events);
    ours.0
}
