// SPDX-License-Identifier: GPL-2.0

//! A superblock's fields.

use md_core::{
    format::{
        sb0::{Descriptor, DiskState},
        sb1::{
            ArrayState, CrashLog, Direction, JournalUse, MemberState, Progress, Reshape,
            ResyncPoint, Role, Sb1, Strays, Unplaced,
        },
    },
    units::MemberNumber,
};
use serde::Serialize;
use serde_json::{Map, Value};

use super::tree;
use crate::{
    found::{Member, Superblock},
    names,
};

pub fn describe(member: &Member, sb: &Superblock<'_>) -> Value {
    let mut all = Map::new();
    all.insert("version".to_owned(), member.version.to_string().into());
    all.insert("at_sector".to_owned(), member.at.get().into());
    all.insert("uuid".to_owned(), sb.uuid_text(sb.set_uuid()).into());
    all.insert("created".to_owned(), names::time(sb.created()).into());
    match sb {
        Superblock::V1(sb) => only_v1(sb, &mut all),
        Superblock::V0(sb) => {
            all.insert("minor_version".to_owned(), sb.minor_version().into());
            all.insert("preferred_minor".to_owned(), sb.preferred_minor().into());
            all.insert(
                "checksum".to_owned(),
                format!("{:#010x}", sb.checksum()).into(),
            );
            let counts = sb.counts();
            let counts = serde_json::json!({"devices": counts.all, "active": counts.active,
                "working": counts.working, "failed": counts.failed, "spare": counts.spare});
            all.insert("counts".to_owned(), counts);
        }
    }
    all.insert("array".to_owned(), tree(&Array::of(sb.array())));
    all.insert(
        "member".to_owned(),
        tree(&MemberFields::of(sb.role(), sb.member())),
    );
    if let Some(stored) = stored(sb.strays()) {
        all.insert("stored".to_owned(), stored);
    }
    all.insert("roles".to_owned(), roles(sb));
    Value::Object(all)
}

/// What is stored of positions that are taken for others, because there is no such position.
fn stored(strays: Strays) -> Option<Value> {
    (strays != Strays::default()).then(|| {
        serde_json::json!({
            "in_sync_upto_sector": strays.resync.map(|at| at.get()),
            "recovered_sectors": strays.recovered.map(|upto| upto.get()),
            "journal_tail_sector": strays.tail.map(|tail| tail.get()),
        })
    })
}

fn only_v1(sb: &Sb1<'_, Unplaced>, all: &mut Map<String, Value>) {
    let name = String::from_utf8_lossy(sb.set_name()).into_owned();
    all.insert("name".to_owned(), name.into());
    all.insert(
        "device_uuid".to_owned(),
        sb.device_uuid().to_string().into(),
    );
    all.insert("number".to_owned(), sb.stored_number().get().into());
    all.insert("features".to_owned(), names::features(sb.features()).into());
    all.insert(
        "checksum".to_owned(),
        format!("{:#010x}", sb.checksum()).into(),
    );
    all.insert("max_dev".to_owned(), sb.max_dev().into());
}

/// The members that the superblock knows; spares of a 1.x superblock are all the numbers nobody has.
fn roles(sb: &Superblock<'_>) -> Value {
    let known: Vec<Value> = match sb {
        Superblock::V0(sb) => sb.descriptors().filter_map(descriptor).collect(),
        Superblock::V1(sb) => {
            let known = sb.roles().filter(|(_, role)| *role != Role::Spare);
            known.map(numbered).collect()
        }
    };
    known.into()
}

fn numbered((number, role): (MemberNumber, Role)) -> Value {
    serde_json::json!({"number": number.get(), "role": names::role(role)})
}

fn descriptor(disk: Descriptor) -> Option<Value> {
    let states = [
        (DiskState::FAULTY, "faulty"),
        (DiskState::ACTIVE, "active"),
        (DiskState::SYNC, "sync"),
        (DiskState::REMOVED, "removed"),
        (DiskState::WRITE_MOSTLY, "write-mostly"),
        (DiskState::FAILFAST, "failfast"),
    ];
    let known = states.iter().filter(|(bit, _)| disk.state.contains(*bit));
    let state: Vec<&str> = known.map(|(_, name)| *name).collect();
    let device = disk.device;
    // An empty descriptor is all zeroes, and a spare has none of the bits.
    (device.major != 0 || device.minor != 0 || !state.is_empty()).then(|| {
        let state = if state.is_empty() { vec!["spare"] } else { state };
        serde_json::json!({"number": disk.number.get(), "device": format!("{}:{}", device.major, device.minor),
            "slot": disk.raid_disk, "state": state})
    })
}

#[derive(Serialize)]
struct Array {
    level: String,
    layout: Option<String>,
    chunk_sectors: u64,
    member_size_sectors: u64,
    raid_disks: u16,
    updated: Option<String>,
    events: u64,
    in_sync: bool,
    in_sync_upto_sector: Option<u64>,
    block_bytes: Option<u32>,
    journal: bool,
    reshape: Option<ReshapeFields>,
}

impl Array {
    fn of(array: &ArrayState) -> Self {
        let upto = match array.resync {
            ResyncPoint::Done => None,
            ResyncPoint::From(sector) => Some(sector.get()),
        };
        Self {
            level: names::level(array.level),
            layout: names::layout(array),
            chunk_sectors: array.chunk.get(),
            member_size_sectors: array.member_size.get(),
            raid_disks: array.raid_disks,
            updated: names::time(array.updated),
            events: array.events.get(),
            in_sync: upto.is_none(),
            in_sync_upto_sector: upto,
            block_bytes: array.block_size.map(|size| size.bytes()),
            journal: array.journal == JournalUse::With,
            reshape: array.reshape.map(ReshapeFields::of),
        }
    }
}

#[derive(Serialize)]
struct ReshapeFields {
    position_sector: u64,
    direction: &'static str,
    delta_disks: i32,
    new_level: String,
    new_layout: Option<String>,
    new_chunk_sectors: u64,
}

impl ReshapeFields {
    fn of(reshape: Reshape) -> Self {
        Self {
            position_sector: reshape.position.get(),
            direction: match reshape.direction {
                Direction::Forwards => "forwards",
                Direction::Backwards => "backwards",
            },
            delta_disks: reshape.delta_disks,
            new_level: names::level(reshape.new_level),
            new_layout: names::layout_word(reshape.new_level, reshape.new_layout),
            new_chunk_sectors: reshape.new_chunk.get(),
        }
    }
}

#[derive(Serialize)]
struct MemberFields {
    role: String,
    data_at_sector: u64,
    data_sectors: u64,
    new_data_at_sector: Option<u64>,
    recovered_sectors: Option<u64>,
    recovered_by_bitmap: bool,
    journal_tail_sector: Option<u64>,
    replacement: bool,
    write_mostly: bool,
    failfast: bool,
    corrected_reads: u32,
    bitmap_offset_sectors: Option<i32>,
}

impl MemberFields {
    fn of(role: Role, member: &MemberState) -> Self {
        let (recovered, tail) = match member.progress {
            Progress::Settled => (None, None),
            Progress::Recovering { upto } | Progress::RecoveringByBitmap { upto } => {
                (Some(upto.get()), None)
            }
            Progress::Journal { tail } => (None, Some(tail.get())),
        };
        let data = member.data;
        Self {
            role: names::role(role),
            data_at_sector: data.offset.get(),
            data_sectors: data.size.get(),
            new_data_at_sector: (data.new_offset != data.offset).then(|| data.new_offset.get()),
            recovered_sectors: recovered,
            recovered_by_bitmap: matches!(member.progress, Progress::RecoveringByBitmap { .. }),
            journal_tail_sector: tail,
            replacement: member.replacement,
            write_mostly: member.write_mostly,
            failfast: member.failfast,
            corrected_reads: member.corrected_reads,
            bitmap_offset_sectors: match member.crash_log {
                CrashLog::Bitmap(place) => Some(place.offset.get()),
                CrashLog::None | CrashLog::Ppl(_) => None,
            },
        }
    }
}
