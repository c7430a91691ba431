// SPDX-License-Identifier: GPL-2.0

//! A bitmap.

use md_core::{
    bitmap::cell::Cell,
    format::{
        bitmap::{lockless_byte, Bit, BitAt, BitOrder, BitmapSb, ChunkSize, Kind, StateBits},
        sb1::ArrayState,
    },
    units::{BitmapChunk, Events, Sector, Sectors},
};
use std::num::NonZeroU32;

use super::{byte_at, spec, uuid, Piece};
use crate::cells::State;

/// Seconds between two runs of the daemon, as mdadm sets it.
const DAEMON_SLEEP_S: NonZeroU32 = NonZeroU32::MIN.saturating_add(4);
/// The longest bitmap that is written out.
const BYTES_MAX: u64 = 1 << 26;

pub(super) fn piece(
    spec: &spec::Bitmap,
    superblock: &spec::Superblock,
    array: &ArrayState,
    at: Sector,
) -> Result<Piece, String> {
    let sb = BitmapSb {
        kind: kind(spec)?,
        uuid: uuid(superblock.uuid.as_deref())?,
        events: Events::new(spec.events.unwrap_or(superblock.events)),
        events_cleared: Events::new(spec.events_cleared),
        sync_size: spec.sync_size.map_or(array.member_size, Sectors::new),
        state: match spec.kind {
            spec::Kind::LocklessFirstUse => StateBits::FIRST_USE,
            spec::Kind::Classic | spec::Kind::Lockless => StateBits::default(),
        },
        daemon_sleep_s: DAEMON_SLEEP_S,
        write_behind: 0,
        reserved: Sectors::new(spec.reserved),
    };
    let needed = sb
        .kind
        .needed(sb.sync_size)
        .unwrap_or(Sectors::new(8))
        .to_bytes();
    let needed = needed
        .filter(|bytes| *bytes <= BYTES_MAX)
        .ok_or("the bitmap is too long")?;
    let mut bytes = vec![0; usize::try_from(needed).map_err(|_| "the bitmap is too long")?];
    sb.encode(&mut bytes).map_err(|error| error.to_string())?;
    for cells in &spec.cells {
        write_cells(&mut bytes, cells, sb.kind)?;
    }
    Ok(Piece {
        at_byte: byte_at(at, spec.offset)?,
        bytes,
    })
}

fn kind(spec: &spec::Bitmap) -> Result<Kind, String> {
    if spec.kind == spec::Kind::LocklessFirstUse {
        return Ok(Kind::LocklessFirstUse);
    }
    let sectors = spec.chunk.ok_or("the bitmap's chunk is missing")?;
    let chunk = ChunkSize::from_sectors(Sectors::new(sectors));
    let chunk = chunk.ok_or_else(|| format!("a bitmap chunk of {sectors} sectors"))?;
    Ok(match spec.kind {
        spec::Kind::Classic => Kind::Classic(chunk),
        spec::Kind::Lockless | spec::Kind::LocklessFirstUse => Kind::Lockless(chunk),
    })
}

fn write_cells(bytes: &mut [u8], cells: &spec::Cells, kind: Kind) -> Result<(), String> {
    let known: &[State] = if kind.is_lockless() {
        &State::LOCKLESS
    } else {
        &State::CLASSIC
    };
    let state = known.iter().find(|state| state.name() == cells.state);
    let state = state.ok_or_else(|| format!("there is no state {}", cells.state))?;
    let end = cells.from.saturating_add(cells.count.unwrap_or(1));
    for chunk in cells.from..end {
        write_cell(bytes, BitmapChunk::new(chunk), *state)
            .ok_or_else(|| format!("there is no chunk {chunk}"))?;
    }
    Ok(())
}

fn write_cell(bytes: &mut [u8], chunk: BitmapChunk, state: State) -> Option<()> {
    /// A byte that is no state.
    const UNKNOWN: u8 = 0xee;
    let byte = match state {
        State::Bit(bit) => return write_bit(bytes, chunk, bit),
        State::Cell(cell) => Cell::to_byte(cell),
        State::Unknown => UNKNOWN,
    };
    let at = usize::try_from(lockless_byte(chunk)?).ok()?;
    *bytes.get_mut(at)? = byte;
    Some(())
}

fn write_bit(bytes: &mut [u8], chunk: BitmapChunk, bit: Bit) -> Option<()> {
    BitAt::of(chunk, BitOrder::LittleEndian)
        .write(bytes, 0, bit)
        .map(|_| ())
}
