// SPDX-License-Identifier: GPL-2.0

//! A 0.90 superblock.

use md_core::{
    format::{
        ident::SbTime,
        sb0::{DeviceNumber, InternalBitmap, Record, Seat, Standing, BLOCK_BYTES},
        sb1::{ArrayState, Role},
    },
    units::Sector,
};

use super::{roles, spec, uuid, Piece};

/// The driver that the members are said to be of: loop devices.
const MAJOR: u32 = 7;

pub(super) fn piece(image: &spec::Image, array: &ArrayState, at: Sector) -> Result<Piece, String> {
    let spec = &image.superblock;
    if image.bad_blocks.is_some() {
        return Err("version 0.90 has no bad-block log".to_owned());
    }
    if image.ppl.is_some() || image.journal.is_some() {
        return Err("version 0.90 has neither a journal nor a partial parity log".to_owned());
    }
    let record = Record {
        array,
        set_uuid: uuid(spec.uuid.as_deref())?,
        created: SbTime::new(spec.created, 0).ok_or("the time does not fit")?,
        preferred_minor: 0,
        patch_version: 0,
        bitmap: match &image.bitmap {
            None => InternalBitmap::Absent,
            Some(bitmap) if bitmap.offset == 8 => InternalBitmap::Present,
            Some(_) => return Err("a bitmap of version 0.90 has the offset 8".to_owned()),
        },
    };
    let roles = roles(spec)?;
    let seats = roles
        .iter()
        .zip(0..)
        .map(|(role, minor)| seat(*role, minor, spec));
    let seats: Vec<Seat> = seats.collect::<Result<_, _>>()?;
    let mut bytes = vec![0; BLOCK_BYTES];
    record
        .write(&mut bytes, seats, usize::from(spec.number))
        .map_err(|error| error.to_string())?;
    Ok(Piece {
        at_byte: super::byte_at(at, 0)?,
        bytes,
    })
}

fn seat(role: Role, minor: u32, spec: &spec::Superblock) -> Result<Seat, String> {
    let this = minor == u32::from(spec.number);
    Ok(Seat {
        device: DeviceNumber {
            major: MAJOR,
            minor,
        },
        standing: match role {
            Role::Active(slot) => Standing::InSync(slot),
            Role::Spare => Standing::Spare,
            Role::Faulty => Standing::Faulty,
            Role::Journal | Role::Reserved(_) => {
                return Err("version 0.90 has no journals".to_owned())
            }
        },
        write_mostly: this && spec.write_mostly,
        failfast: this && spec.failfast,
    })
}
