// SPDX-License-Identifier: GPL-2.0

//! A description as bytes, written by the writers of the driver.

mod bitmap;
mod logs;
mod sb0;
mod sb1;

use md_core::{
    format::{
        badblocks,
        ident::{SbTime, Uuid},
        level::Level,
        sb0::{self as format0, Sb0, Sb0Error},
        sb1::{
            ArrayState, Clustering, Device, Direction, JournalUse, MinorVersion, Reshape,
            ResyncPoint, Role, Sb1, Sb1Error,
        },
        BlockSize, NewFeatures,
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
    let mut superblock = match minor {
        None => sb0::piece(image, &array, at)?,
        Some(minor) => sb1::piece(image, &array, at, minor)?,
    };
    let summed = image.damage.iter().filter(|damage| damage.summed);
    for damage in summed.clone() {
        put(&mut superblock, damage.at_byte, &hex(&damage.bytes)?)?;
    }
    if summed.count() != 0 {
        sum(&mut superblock.bytes, device, minor);
    }
    let mut pieces = vec![superblock];
    if let Some(spec) = &image.bitmap {
        pieces.push(bitmap::piece(spec, &image.superblock, &array, at)?);
    }
    if let Some(spec) = &image.bad_blocks {
        pieces.push(bad_blocks(spec, at)?);
    }
    if let Some(spec) = &image.journal {
        let data = sb1::data(&image.superblock, device, at, minor).0;
        pieces.push(logs::journal(spec, &image.superblock, data)?);
    }
    if let Some(spec) = &image.ppl {
        pieces.extend(logs::ppl(spec, &image.superblock, at)?);
    }
    for damage in image.damage.iter().filter(|damage| !damage.summed) {
        pieces.push(Piece {
            at_byte: damage.at_byte,
            bytes: hex(&damage.bytes)?,
        });
    }
    Ok(pieces)
}

/// Puts `bytes` into a piece, `at_byte` of the image.
fn put(piece: &mut Piece, at_byte: u64, bytes: &[u8]) -> Result<(), String> {
    let start = at_byte.checked_sub(piece.at_byte);
    let start = start.and_then(|start| usize::try_from(start).ok());
    let place = start.and_then(|start| {
        let end = start.checked_add(bytes.len())?;
        piece.bytes.get_mut(start..end)
    });
    place
        .ok_or_else(|| format!("byte {at_byte} does not lie in the superblock"))?
        .copy_from_slice(bytes);
    Ok(())
}

/// Gives a superblock the checksum that its bytes have, unless it is refused for something that comes before that.
fn sum(block: &mut [u8], device: Sectors, minor: Option<MinorVersion>) {
    let (at, computed) = match minor {
        None => match Sb0::parse(block, device) {
            Err(Sb0Error::Checksum { computed, .. }) => (152, computed.to_ne_bytes()),
            _ => return,
        },
        Some(minor) => {
            let device = Device {
                sectors: device,
                block: BlockSize::SECTOR,
            };
            match Sb1::read(block, minor, device, NewFeatures::Ignore) {
                Err(Sb1Error::Checksum { computed, .. }) => (216, computed.to_le_bytes()),
                _ => return,
            }
        }
    };
    if let Some(place) = block.get_mut(at..at + 4) {
        place.copy_from_slice(&computed);
    }
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
        reshape: reshape(spec, level)?,
        journal: if roles(spec)?.contains(&Role::Journal) {
            JournalUse::With
        } else {
            JournalUse::Without
        },
        clustering: Clustering::Single,
    })
}

fn reshape(spec: &spec::Superblock, now: Level) -> Result<Option<Reshape>, String> {
    let Some(reshape) = &spec.reshape else {
        return Ok(None);
    };
    let backwards = reshape.delta_disks < 0 || (reshape.delta_disks == 0 && reshape.backwards);
    let new_level = reshape.new_level.as_deref();
    Ok(Some(Reshape {
        position: Sector::new(reshape.position),
        delta_disks: reshape.delta_disks,
        new_level: new_level.map_or(Ok(now), level)?,
        new_layout: reshape.new_layout.or(spec.layout).unwrap_or(0),
        new_chunk: Sectors::new(reshape.new_chunk.unwrap_or(spec.chunk)),
        direction: if backwards {
            Direction::Backwards
        } else {
            Direction::Forwards
        },
    }))
}

fn level(text: &str) -> Result<Level, String> {
    let named = LevelText::parse(text.as_bytes())
        .ok()
        .and_then(|text| text.level());
    let numbered = || text.parse().ok().map(Level::from_number);
    let known = named.or_else(numbered);
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
