// SPDX-License-Identifier: GPL-2.0

//! Bad-block log: what parses is written and parses to the same. Input: the unit, then the log.

#![no_main]

use libfuzzer_sys::fuzz_target;
use md_core::format::badblocks::{encode, entries};

fuzz_target!(|input: &[u8]| {
    let Some((&shift, log)) = input.split_first() else {
        return;
    };
    let Ok(ranges) = entries(log, shift).collect::<Result<Vec<_>, _>>() else {
        return;
    };
    let mut again = vec![0; log.len()];
    if encode(&mut again, shift, ranges.iter().copied()).is_ok() {
        let written: Result<Vec<_>, _> = entries(&again, shift).collect();
        assert_eq!(written.as_ref(), Ok(&ranges));
    }
    // Another unit makes other entries; they must cover no less.
    let _ = encode(&mut again, shift / 2, ranges);
});
