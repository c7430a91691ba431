// SPDX-License-Identifier: GPL-2.0

//! Partial parity log header: parse and write back. Input: the unit of sectors, then the header.

#![no_main]

use fuzz::{block, device};
use libfuzzer_sys::fuzz_target;
use md_core::format::ppl::{Header, NewHeader, PplError, HEADER_BYTES};

fuzz_target!(|input: &[u8]| {
    let Some((&unit, rest)) = input.split_first() else {
        return;
    };
    let unit = device(u64::from(unit)).block;
    let mut bytes = block::<HEADER_BYTES>(rest);
    if let Err(PplError::Checksum { computed, .. }) = Header::parse(&bytes, unit) {
        bytes[532..536].copy_from_slice(&computed.to_le_bytes());
    }
    let Ok(header) = Header::parse(&bytes, unit) else {
        return;
    };
    assert!(header.len().get() >= 8);
    let new = NewHeader {
        signature: header.signature(),
        generation: header.generation(),
        block: unit,
    };
    let mut again = [0; HEADER_BYTES];
    if new.write(&mut again, header.writes()).is_ok() {
        let written = Header::parse(&again, unit).expect("what was written parses");
        assert!(written.writes().eq(header.writes()));
        assert_eq!(written.generation(), header.generation());
    }
});
