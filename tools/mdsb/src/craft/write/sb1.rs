// SPDX-License-Identifier: GPL-2.0

//! A 1.x superblock.

use md_core::{
    format::{
        ident::SbTime,
        sb1::{
            ArrayState, BadBlocks, BitmapPlace, CrashLog, DataPlace, Identity, MemberState,
            MinorVersion, NewBadBlockLog, PplKind, PplPlace, Progress, Role, Update, BLOCK_BYTES,
        },
    },
    units::{MemberNumber, Sector, Sectors},
};
use std::num::NonZeroI32;

use super::{roles, spec, uuid, Piece};

/// The offset mdadm gives to data on small members.
const DATA_OFFSET: u64 = 2048;

/// Where data lies and how long it is.
pub(super) fn data(
    spec: &spec::Superblock,
    device: Sectors,
    at: Sector,
    minor: Option<MinorVersion>,
) -> (Sector, Sectors) {
    let (default, end) = match minor {
        None => (0, at.get()),
        Some(MinorVersion::V1_0) => (0, at.get().saturating_sub(16)),
        Some(MinorVersion::V1_1 | MinorVersion::V1_2) => (DATA_OFFSET, device.get()),
    };
    let offset = spec.data_offset.unwrap_or(default);
    let size = spec.data_size.unwrap_or(end.saturating_sub(offset));
    (Sector::new(offset), Sectors::new(size))
}

pub(super) fn piece(
    image: &spec::Image,
    array: &ArrayState,
    at: Sector,
    minor: MinorVersion,
) -> Result<Piece, String> {
    let spec = &image.superblock;
    let roles = roles(spec)?;
    let mut bytes = vec![0; BLOCK_BYTES];
    identity(image, roles.len())?
        .create(&mut bytes)
        .map_err(|error| error.to_string())?;
    let update = Update {
        array,
        member: &member(image, at, minor)?,
    };
    let numbered = (0..).map(MemberNumber::new).zip(roles);
    update
        .apply(&mut bytes, numbered)
        .map_err(|error| error.to_string())?;
    Ok(Piece {
        at_byte: super::byte_at(at, 0)?,
        bytes,
    })
}

fn identity(image: &spec::Image, max_dev: usize) -> Result<Identity, String> {
    let spec = &image.superblock;
    let mut set_name = [0; 32];
    set_name
        .get_mut(..spec.name.len())
        .ok_or("the name is longer than 32 bytes")?
        .copy_from_slice(spec.name.as_bytes());
    Ok(Identity {
        set_uuid: uuid(spec.uuid.as_deref())?,
        set_name,
        created: SbTime::new(spec.created, 0).ok_or("the time does not fit")?,
        device_uuid: uuid(spec.device_uuid.as_deref())?,
        number: MemberNumber::new(u32::from(spec.number)),
        max_dev: u16::try_from(max_dev).map_err(|_| "there are too many roles")?,
        bad_block_log: image.bad_blocks.as_ref().map(|log| NewBadBlockLog {
            offset: log.offset,
            sectors: log.sectors,
            shift: log.shift,
        }),
    })
}

fn member(image: &spec::Image, at: Sector, minor: MinorVersion) -> Result<MemberState, String> {
    let spec = &image.superblock;
    let (offset, size) = data(spec, Sectors::new(image.sectors), at, Some(minor));
    let crash_log = match (&image.bitmap, &image.ppl) {
        (None, None) => CrashLog::None,
        (Some(bitmap), None) => CrashLog::Bitmap(BitmapPlace {
            offset: NonZeroI32::new(bitmap.offset).ok_or("the bitmap lies over the superblock")?,
            start: at,
        }),
        (None, Some(ppl)) => CrashLog::Ppl(PplPlace {
            kind: if ppl.ring {
                PplKind::Multiple
            } else {
                PplKind::Single
            },
            offset: ppl.offset,
            sectors: ppl.sectors,
            range: None,
        }),
        (Some(_), Some(_)) => {
            return Err("a superblock has no room for a bitmap and a partial parity log".to_owned())
        }
    };
    let moves = spec
        .reshape
        .as_ref()
        .map_or(0, |reshape| reshape.data_moves);
    let data = DataPlace {
        new_offset: offset
            .checked_offset(moves)
            .ok_or("the data moves off the image")?,
        ..DataPlace::at_rest(offset, size)
    };
    let recorded = image
        .bad_blocks
        .as_ref()
        .is_some_and(|log| !log.ranges.is_empty());
    Ok(MemberState {
        superblock: at,
        data,
        progress: progress(image)?,
        replacement: false,
        write_mostly: spec.write_mostly,
        failfast: spec.failfast,
        corrected_reads: 0,
        crash_log,
        bad_blocks: if recorded {
            BadBlocks::Recorded
        } else {
            BadBlocks::Unrecorded
        },
    })
}

fn progress(image: &spec::Image) -> Result<Progress, String> {
    let spec = &image.superblock;
    let own = roles(spec)?.get(usize::from(spec.number)).copied();
    Ok(match (own, &image.journal, spec.recovered) {
        (Some(Role::Journal), journal, _) => Progress::Journal {
            tail: Sectors::new(journal.as_ref().map_or(0, |journal| journal.tail)),
        },
        (_, Some(_), _) => return Err("only a member whose role is journal has one".to_owned()),
        (_, None, None) => Progress::Settled,
        (_, None, Some(upto)) => Progress::Recovering {
            upto: Sectors::new(upto),
        },
    })
}
