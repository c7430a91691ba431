// SPDX-License-Identifier: GPL-2.0

//! Partial parity log: a header parses and is written back, a search for the newest ends within its area. Input: the
//! unit of sectors, then headers one behind the other.

#![no_main]

use fuzz::{block, device};
use libfuzzer_sys::fuzz_target;
use md_core::{
    format::{
        ppl::{Header, NewHeader, Owner, PplError, Search, HEADER_BYTES},
        BlockSize,
    },
    units::Sectors,
};

/// The length of the area.
const AREA: Sectors = Sectors::new(1 << 16);

/// A header that gets past its checksum.
fn summed(input: &[u8], unit: BlockSize) -> [u8; HEADER_BYTES] {
    let mut bytes = block::<HEADER_BYTES>(input);
    if let Err(PplError::Checksum { computed, .. }) = Header::parse(&bytes, unit, AREA) {
        bytes[532..536].copy_from_slice(&computed.to_le_bytes());
    }
    bytes
}

fn search(input: &[u8], unit: BlockSize) {
    let mut search = Search::new(AREA, Owner::Anybody, unit);
    for header in input.chunks(HEADER_BYTES) {
        let Some(place) = search.place() else {
            break;
        };
        assert!(place.get() + 8 < AREA.get());
        let before = search.newest();
        match search.take(&summed(header, unit)) {
            Ok(()) => assert_eq!(search.newest().map(|found| found.at), Some(place)),
            Err(_) => assert_eq!((search.newest(), search.place()), (before, None)),
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((&unit, rest)) = input.split_first() else {
        return;
    };
    let unit = device(u64::from(unit)).block;
    search(rest, unit);
    let bytes = summed(rest, unit);
    let Ok(header) = Header::parse(&bytes, unit, AREA) else {
        return;
    };
    assert!((8..=AREA.get()).contains(&header.len().get()));
    let new = NewHeader {
        signature: header.signature(),
        generation: header.generation(),
        block: unit,
    };
    let mut again = [0; HEADER_BYTES];
    if new.write(&mut again, header.writes()).is_ok() {
        let written = Header::parse(&again, unit, AREA).expect("what was written parses");
        assert!(written.writes().eq(header.writes()));
        assert_eq!(written.generation(), header.generation());
    }
});
