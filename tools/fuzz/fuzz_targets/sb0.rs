// SPDX-License-Identifier: GPL-2.0

//! Superblock 0.90: parse and areas. Input: length of the device, then the block.

#![no_main]

use fuzz::{block, number, pass_sb0};
use libfuzzer_sys::fuzz_target;
use md_core::{
    format::sb0::{Sb0, BLOCK_BYTES},
    units::{MemberNumber, Sectors},
};

fuzz_target!(|input: &[u8]| {
    let mut input = input;
    let device = Sectors::new(number(&mut input) >> 24);
    let mut bytes = block::<BLOCK_BYTES>(input);
    pass_sb0(&mut bytes, device);
    let Ok(sb) = Sb0::parse(&bytes, device) else {
        return;
    };
    assert!(sb.extents().data_room() <= device);
    assert!(sb.range().end().get() <= device.get());
    assert!(sb.same_array(&sb));
    assert_eq!(sb.descriptors().count(), 27);
    for number in 0..40 {
        assert_eq!(sb.role_of(MemberNumber::new(number)).is_some(), number < 27);
    }
    let _ = (sb.role(), sb.counts(), sb.needs_events());
});
