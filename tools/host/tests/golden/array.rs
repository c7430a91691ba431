// SPDX-License-Identifier: GPL-2.0

//! What `mdadm --examine` prints of an array alike, whatever the format of its superblock.

use md_core::format::{
    ident::SbTime,
    level::Level,
    sb1::{ArrayState, ResyncPoint},
    SB_MAGIC,
};

use super::{
    listing::{ctime, level, Ours},
    size,
};

pub(super) fn examine(ours: &mut Ours, array: &ArrayState, created: SbTime, checksum: u32) {
    ours.add("Magic", format!("{SB_MAGIC:x}"));
    ours.add("Creation Time", ctime(created));
    ours.add("Raid Level", level(array.level));
    ours.add("Raid Devices", array.raid_disks);
    ours.add("Update Time", ctime(array.updated));
    ours.add("Checksum", format!("{checksum:x} - correct"));
    ours.add("Events", array.events);
    let clean = array.resync == ResyncPoint::Done;
    ours.add("State", if clean { "clean" } else { "active" });
    if let Some(name) = size::layout_name(array.level, array.layout) {
        ours.add("Layout", name);
    }
    let chunk = format!("{}K", array.chunk.to_kib());
    if array.level == Level::Linear {
        ours.add("Rounding", chunk);
    } else {
        ours.add_if(size::has_chunk(array.level), "Chunk Size", chunk);
    }
    reshape(ours, array);
}

fn reshape(ours: &mut Ours, array: &ArrayState) {
    let Some(reshape) = array.reshape else {
        return;
    };
    ours.add("Reshape pos'n", reshape.position.get() / 2);
    let (now, delta) = (i32::from(array.raid_disks), reshape.delta_disks);
    ours.add_if(
        delta != 0,
        "Delta Devices",
        format!("{delta} ({}->{now})", now - delta),
    );
    let chunk = format!("{}K", reshape.new_chunk.to_kib());
    ours.add_if(reshape.new_chunk != array.chunk, "New Chunksize", chunk);
    assert_eq!(reshape.new_level, array.level, "no case changes the level");
    if Some(reshape.new_layout) != array.layout {
        let layout = Some(reshape.new_layout);
        let new = size::layout_name(array.level, layout).expect("a layout that mdadm names");
        ours.add("New Layout", new);
    }
}

/// The slots that a reshape under way takes from the array; members are in them until it is done.
pub(super) fn leaving(array: &ArrayState) -> u16 {
    let delta = array.reshape.map_or(0, |reshape| reshape.delta_disks);
    u16::try_from(delta.min(0).unsigned_abs()).expect("few slots")
}
