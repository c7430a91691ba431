// SPDX-License-Identifier: GPL-2.0

//! How long an array is by what its superblock says, computed by the layouts, and the layouts' names.

use md_core::{
    format::{level::Level, sb1::ArrayState},
    layout::{
        chunk::{ChunkSize, MemberCount, PowerOfTwoChunk},
        mirror::{FarSpread, Placement as _, Raid10, Raid10Layout},
        raid456::{ParityLayout, Raid456, Raid5Layout, Raid6Layout},
    },
    units::Sectors,
};

/// The length of the array in its new shape, or `None` for levels that do not record what they use of a member.
pub(super) fn array_size(array: &ArrayState) -> Option<Sectors> {
    let members = MemberCount::new(array.raid_disks).expect("members");
    let word = array.layout.unwrap_or(0);
    let parity = |layout| {
        let raid = Raid456::new(layout, new_chunk(array), members, array.member_size);
        Some(raid.expect("an array").array_size())
    };
    match array.level {
        Level::Raid1 => Some(array.member_size),
        Level::Raid4 => parity(ParityLayout::Raid4),
        Level::Raid5 => parity(ParityLayout::Raid5(
            Raid5Layout::parse(word).expect("a layout"),
        )),
        Level::Raid6 => parity(ParityLayout::Raid6(
            Raid6Layout::parse(word).expect("a layout"),
        )),
        Level::Raid10 => {
            let layout = Raid10Layout::parse(word).expect("a layout");
            let raid = Raid10::new(layout, new_chunk(array), members, array.member_size);
            Some(raid.expect("an array").array_size())
        }
        Level::Linear | Level::Raid0 | Level::Unsupported(_) => None,
    }
}

fn new_chunk(array: &ArrayState) -> PowerOfTwoChunk {
    let sectors = u32::try_from(array.chunk.get()).expect("a short chunk");
    let chunk = ChunkSize::new(sectors).expect("a chunk");
    PowerOfTwoChunk::new(chunk, Sectors::new(8)).expect("a power of two")
}

/// mdadm's name of a layout, for the levels where it prints one. The cases have only these.
pub(super) fn layout_name(level: Level, layout: Option<u32>) -> Option<String> {
    let word = layout?;
    match level {
        Level::Raid5 => Some(raid5_name(Raid5Layout::parse(word).expect("a layout")).to_owned()),
        Level::Raid6 => Some(raid6_name(Raid6Layout::parse(word).expect("a layout")).to_owned()),
        Level::Raid0 => (word == 1).then(|| "original".to_owned()),
        Level::Raid10 => {
            let layout = Raid10Layout::parse(word).expect("a layout");
            Some(match (layout.near(), layout.far(), layout.spread()) {
                (near, 1, _) => format!("near={near}"),
                (_, far, FarSpread::Far) => format!("far={far}"),
                (_, far, FarSpread::Offset) => format!("offset={far}"),
            })
        }
        _ => None,
    }
}

fn raid5_name(layout: Raid5Layout) -> &'static str {
    match layout {
        Raid5Layout::LeftSymmetric => "left-symmetric",
        other => panic!("no case has the layout {other:?}"),
    }
}

fn raid6_name(layout: Raid6Layout) -> &'static str {
    match layout {
        Raid6Layout::LeftSymmetric => "left-symmetric",
        Raid6Layout::RightAsymmetric => "right-asymmetric",
        Raid6Layout::LeftSymmetric6 => "left-symmetric-6",
        other => panic!("no case has the layout {other:?}"),
    }
}

/// Whether mdadm prints the chunk of this level.
pub(super) fn has_chunk(level: Level) -> bool {
    !matches!(level, Level::Linear | Level::Raid1)
}
