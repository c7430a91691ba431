// SPDX-License-Identifier: GPL-2.0

//! A journal and a partial parity log.

use md_core::{
    format::{
        journal::{Seed, Sequence, Writer, BLOCK_BYTES},
        ppl::{signature, NewHeader, Write, HEADER_BYTES},
        BlockSize,
    },
    units::{Sector, Sectors, Slot},
};

use super::{spec, uuid, Piece};

/// The meta block of a journal whose data begins at `data`.
pub(super) fn journal(
    spec: &spec::Journal,
    superblock: &spec::Superblock,
    data: Sector,
) -> Result<Piece, String> {
    let at = spec.at.unwrap_or(spec.tail);
    let position = Sector::new(spec.position.unwrap_or(at));
    let mut bytes = vec![0; BLOCK_BYTES];
    let seed = Seed::of(uuid(superblock.uuid.as_deref())?);
    Writer::start(&mut bytes, Sequence(spec.sequence), position)
        .and_then(|writer| writer.finish(seed))
        .map_err(|error| error.to_string())?;
    let byte = data
        .get()
        .checked_add(at)
        .and_then(|at| at.checked_mul(512));
    Ok(Piece {
        at_byte: byte.ok_or("the journal's block does not lie on the image")?,
        bytes,
    })
}

/// The headers of a partial parity log beside the superblock at `at`.
pub(super) fn ppl(
    spec: &spec::Ppl,
    superblock: &spec::Superblock,
    at: Sector,
) -> Result<Vec<Piece>, String> {
    let ours = signature(uuid(superblock.uuid.as_deref())?);
    let start = super::byte_at(at, i32::from(spec.offset))?;
    let piece = |header: &spec::PplHeader| {
        let new = NewHeader {
            signature: header.signature.unwrap_or(ours),
            generation: header.generation,
            block: BlockSize::SECTOR,
        };
        let write = Write {
            data: Sector::ZERO,
            data_len: Sectors::new(header.parity),
            parity_len: Sectors::new(header.parity),
            parity_slot: Slot::ZERO,
            checksum: 0,
        };
        let mut bytes = vec![0; HEADER_BYTES];
        new.write(&mut bytes, (header.parity != 0).then_some(write))
            .map_err(|error| error.to_string())?;
        let byte = header
            .at
            .checked_mul(512)
            .and_then(|by| start.checked_add(by));
        Ok(Piece {
            at_byte: byte.ok_or("a header of the partial parity log does not lie on the image")?,
            bytes,
        })
    };
    spec.headers.iter().map(piece).collect()
}
