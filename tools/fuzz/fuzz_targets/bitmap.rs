// SPDX-License-Identifier: GPL-2.0

//! Bitmap superblock and cells: parse, write back, walk the bits.

#![no_main]

use libfuzzer_sys::fuzz_target;
use md_core::{
    bitmap::{cell::Cell, counter::Counter},
    format::bitmap::{
        dirty_chunks, lockless_byte, lockless_capacity, BitOrder, BitmapSb, StateBits, SB_BYTES,
    },
    units::BitmapChunk,
};

/// Words of counters: what is taken comes back.
fn counters(input: &[u8]) {
    for word in input.chunks_exact(2).take(64) {
        let word = u16::from_le_bytes([word[0], word[1]]);
        if let Ok(counter) = Counter::from_word(word) {
            assert_eq!(counter.to_word(), word);
        }
    }
}

fuzz_target!(|input: &[u8]| {
    counters(input);
    let mut bytes = input.to_vec();
    if let Some(head) = bytes.first_chunk_mut::<4>() {
        *head = *b"bitm";
    }
    let Ok(sb) = BitmapSb::parse(&bytes) else {
        return;
    };
    let mut again = [0; SB_BYTES];
    if sb.encode(&mut again).is_ok() {
        let written = BitmapSb::parse(&again).expect("what was written parses");
        let stored = sb.state.without(StateBits::SHUTDOWN);
        assert_eq!(
            written,
            BitmapSb {
                state: stored,
                ..sb
            }
        );
    }
    let _ = sb.freshness(sb.uuid, sb.events_cleared);
    let needed = sb.kind.needed(sb.sync_size);
    let chunks = sb.kind.chunk().map_or(0, |chunk| chunk.count(sb.sync_size));
    if sb.kind.is_lockless() {
        // What no device has, it needs whatever it is; there is nothing to compare then.
        let room = needed.filter(|room| room.to_bytes().is_some());
        assert!(room.is_none_or(|room| chunks <= lockless_capacity(room)));
        for chunk in (0..chunks.min(64)).map(BitmapChunk::new) {
            let at = lockless_byte(chunk).and_then(|at| usize::try_from(at).ok());
            if let Some(byte) = at.and_then(|at| bytes.get(at)) {
                let parsed = Cell::parse(*byte);
                assert_eq!(parsed.finding.is_none(), parsed.cell.to_byte() == *byte);
            }
        }
    } else {
        for order in [BitOrder::LittleEndian, BitOrder::Host] {
            assert!(dirty_chunks(&bytes, chunks, order).all(|chunk| chunk.get() < chunks));
        }
    }
});
