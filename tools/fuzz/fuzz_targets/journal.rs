// SPDX-License-Identifier: GPL-2.0

//! Journal meta block: parse and write back. Input: the block.

#![no_main]

use fuzz::block;
use libfuzzer_sys::fuzz_target;
use md_core::{
    format::{
        ident::Uuid,
        journal::{JournalError, MetaBlock, Payload, Seed, Writer, BLOCK_BYTES},
    },
    units::Sectors,
};

/// The length of the journal.
const RING: Sectors = Sectors::new(1 << 16);

fuzz_target!(|input: &[u8]| {
    let seed = Seed::of(Uuid::default());
    let mut bytes = block::<BLOCK_BYTES>(input);
    bytes[..4].copy_from_slice(&0x6433_c509_u32.to_le_bytes());
    bytes[8] = 1;
    if let Err(JournalError::Checksum { computed, .. }) = MetaBlock::parse(&bytes, seed, RING) {
        bytes[4..8].copy_from_slice(&computed.to_le_bytes());
    }
    let Ok(meta) = MetaBlock::parse(&bytes, seed, RING) else {
        return;
    };
    assert!(meta.payload_len() < RING && meta.position().get() < RING.get());
    let mut again = [0; BLOCK_BYTES];
    let mut writer = Writer::start(&mut again, meta.sequence(), meta.position()).expect("a block");
    for payload in meta.payloads() {
        match payload {
            Payload::Blocks { content, sums, .. } => {
                let sums: Vec<u32> = sums.iter().collect();
                writer.push_blocks(content, &sums).expect("it fitted");
            }
            Payload::Flush { stripes, .. } => {
                let stripes: Vec<_> = stripes.iter().collect();
                writer.push_flush(&stripes).expect("it fitted");
            }
        }
    }
    writer.finish(seed).expect("a block");
    let written = MetaBlock::parse(&again, seed, RING).expect("what was written parses");
    assert_eq!(written.payload_len(), meta.payload_len());
    assert_eq!(written.payloads().count(), meta.payloads().count());
});
