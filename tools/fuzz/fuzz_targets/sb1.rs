// SPDX-License-Identifier: GPL-2.0

//! Superblock 1.x: parse, areas, and write back. Input: minor version, device, then the block.

#![no_main]

use fuzz::{block, device, number, pass_sb1};
use libfuzzer_sys::fuzz_target;
use md_core::format::{
    extents::Extents,
    sb1::{MinorVersion, Sb1, Update, BLOCK_BYTES},
    NewFeatures,
};

fuzz_target!(|input: &[u8]| {
    let mut input = input;
    let minor = MinorVersion::from_number(u32::from(number(&mut input).to_le_bytes()[0] % 3))
        .expect("0 to 2");
    let device = device(number(&mut input));
    let mut bytes = block::<BLOCK_BYTES>(input);
    pass_sb1(&mut bytes, minor, device);
    let Ok(sb) = Sb1::parse(&bytes, minor, device, NewFeatures::Ignore) else {
        return;
    };
    let extents = Extents::of_sb1(&sb, device.sectors);
    let _ = extents.verify();
    assert!(extents.data_room() <= device.sectors);
    assert!(extents
        .bitmap_room()
        .is_none_or(|room| room <= device.sectors));
    assert!(sb.range().end().get() <= device.sectors.get());
    assert!(sb
        .member()
        .data
        .offset
        .get()
        .checked_add(sb.member().data.size.get())
        .is_some());

    // What is written says the same again.
    let mut again = bytes;
    let update = Update {
        array: sb.array(),
        member: sb.member(),
    };
    if update.apply(&mut again, sb.roles()).is_ok() {
        let written = Sb1::parse(&again, minor, device, NewFeatures::Refuse)
            .expect("what was written parses");
        assert_eq!(written.array(), sb.array());
        assert_eq!(written.member(), sb.member());
        assert!(written.roles().eq(sb.roles()));
    }
});
