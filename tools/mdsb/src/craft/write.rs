// SPDX-License-Identifier: GPL-2.0

//! A description as bytes, written by the writers of the driver.

mod bitmap;
mod sb0;
mod sb1;

use md_core::{
    format::{
        badblocks,
        ident::{SbTime, Uuid},
        level::Level,
        sb0 as format0,
        sb1::{ArrayState, Clustering, JournalUse, MinorVersion, ResyncPoint, Role},
    },
    units::{Events, Sector, SectorRange, Sectors, Slot},
    words::level::LevelText,
};

use super::{spec, Piece};

/// Everything to write, in the order of writing.
pub(super) fn pieces(image: &spec::Image) -> Result<Vec<Piece>, String> {
    let device = Sectors::new(image.sectors);
    let minor = match image.superblock.version.as_str() {
        "0.90" => None,
        "1.0" => Some(MinorVersion::V1_0),
        "1.1" => Some(MinorVersion::V1_1),
        "1.2" => Some(MinorVersion::V1_2),
        other => return Err(format!("there is no version {other}")),
    };
    let at = match minor {
        None => format0::superblock(device),
        Some(minor) => minor.superblock(device),
    };
    let at = at.ok_or("the image is too short for a superblock")?;
    let array = array(&image.superblock, device, at, minor)?;
    let mut pieces = vec![match minor {
        None => sb0::piece(image, &array, at)?,
        Some(minor) => sb1::piece(image, &array, at, minor)?,
    }];
    if let Some(spec) = &image.bitmap {
        pieces.push(bitmap::piece(spec, &image.superblock, &array, at)?);
    }
    if let Some(spec) = &image.bad_blocks {
        pieces.push(bad_blocks(spec, at)?);
    }
    for damage in &image.damage {
        pieces.push(Piece {
            at_byte: damage.at_byte,
            bytes: hex(&damage.bytes)?,
        });
    }
    Ok(pieces)
}

fn array(
    spec: &spec::Superblock,
    device: Sectors,
    at: Sector,
    minor: Option<MinorVersion>,
) -> Result<ArrayState, String> {
    let level = level(&spec.level)?;
    let striped = matches!(level, Level::Linear | Level::Raid0);
    let member_size = match spec.member_size {
        Some(sectors) => Sectors::new(sectors),
        None if striped => Sectors::ZERO,
        None => sb1::data(spec, device, at, minor).1,
    };
    Ok(ArrayState {
        updated: SbTime::new(spec.updated, 0).ok_or("the time does not fit")?,
        events: Events::new(spec.events),
        resync: spec
            .in_sync_upto
            .map_or(ResyncPoint::Done, |at| ResyncPoint::From(Sector::new(at))),
        level,
        layout: spec.layout.or((level != Level::Raid0).then_some(0)),
        chunk: Sectors::new(spec.chunk),
        member_size,
        raid_disks: spec.raid_disks,
        block_size: None,
        reshape: None,
        journal: JournalUse::Without,
        clustering: Clustering::Single,
    })
}

fn level(text: &str) -> Result<Level, String> {
    let known = LevelText::parse(text.as_bytes())
        .ok()
        .and_then(|text| text.level());
    known.ok_or_else(|| format!("there is no level {text}"))
}

/// Each member's role, by number.
fn roles(spec: &spec::Superblock) -> Result<Vec<Role>, String> {
    let Some(roles) = &spec.roles else {
        return Ok((0..spec.raid_disks)
            .map(Slot::new)
            .map(Role::Active)
            .collect());
    };
    let role = |role: &spec::Role| match role {
        spec::Role::Slot(slot) => Ok(Role::Active(Slot::new(*slot))),
        spec::Role::Word(word) => match word.as_str() {
            "spare" => Ok(Role::Spare),
            "faulty" => Ok(Role::Faulty),
            "journal" => Ok(Role::Journal),
            other => Err(format!("there is no role {other}")),
        },
    };
    roles.iter().map(role).collect()
}

/// The byte `by` sectors from the superblock at `at`.
fn byte_at(at: Sector, by: i32) -> Result<u64, String> {
    let sector = at.checked_offset(i64::from(by));
    let byte = sector.and_then(|sector| sector.get().checked_mul(512));
    byte.ok_or_else(|| format!("offset {by} does not lie on the image"))
}

fn bad_blocks(spec: &spec::BadBlocks, at: Sector) -> Result<Piece, String> {
    let range =
        |&(start, len): &(u64, u64)| SectorRange::new(Sector::new(start), Sectors::new(len));
    let ranges: Option<Vec<SectorRange>> = spec.ranges.iter().map(range).collect();
    let mut bytes = vec![0; usize::from(spec.sectors) * 512];
    badblocks::encode(
        &mut bytes,
        spec.shift,
        ranges.ok_or("a range of bad blocks is empty")?,
    )
    .map_err(|error| error.to_string())?;
    Ok(Piece {
        at_byte: byte_at(at, spec.offset)?,
        bytes,
    })
}

fn uuid(text: Option<&str>) -> Result<Uuid, String> {
    let Some(text) = text else {
        return Ok(Uuid::default());
    };
    let digits: String = text.chars().filter(|c| !matches!(c, ':' | '-')).collect();
    let bytes = hex(&digits)?;
    bytes
        .try_into()
        .map(Uuid::new)
        .map_err(|_| format!("{text} is not 32 digits"))
}

fn hex(digits: &str) -> Result<Vec<u8>, String> {
    let wrong = || format!("{digits} is not pairs of hexadecimal digits");
    let nibbles: Option<Vec<u32>> = digits.chars().map(|digit| digit.to_digit(16)).collect();
    let nibbles = nibbles.filter(|all| all.len() % 2 == 0).ok_or_else(wrong)?;
    let byte = |pair: &[u32]| u8::try_from(pair.iter().fold(0, |byte, nibble| byte * 16 + nibble));
    nibbles
        .chunks(2)
        .map(byte)
        .collect::<Result<_, _>>()
        .map_err(|_| wrong())
}
