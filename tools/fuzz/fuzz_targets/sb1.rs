// SPDX-License-Identifier: GPL-2.0

//! Superblock 1.x: parse, areas, and write back. Input: minor version, device, then the block.

#![no_main]

use fuzz::{block, device, number, pass_sb1};
use libfuzzer_sys::fuzz_target;
use md_core::{
    format::{
        bitmap::BitmapSb,
        extents::{Area, LogUse},
        sb1::{MinorVersion, Progress, Sb1, Update, BLOCK_BYTES},
        NewFeatures,
    },
    units::Sectors,
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
    let extents = sb.extents();
    assert!(extents.data_room() <= device.sectors);
    // A bitmap of whatever is left of the input.
    let mut bitmap = input.get(..256).unwrap_or_default().to_vec();
    if let Some(head) = bitmap.first_chunk_mut::<4>() {
        *head = *b"bitm";
    }
    if let Ok(bitmap) = BitmapSb::parse(&bitmap) {
        let room = extents.bitmap_room(&bitmap);
        assert!(room.is_none_or(|room| room <= device.sectors));
        if let Ok(known) = extents.with_bitmap(&bitmap) {
            let range = known.range(Area::Bitmap).expect("it lies on the member");
            assert!(range.is_none_or(|range| range.end().get() <= device.sectors.get()));
        }
        let _ = extents.log_use(Some(&bitmap));
    }
    if let Ok(LogUse::Usable(log)) = extents.log_use(None) {
        assert!(log.range.end().get() <= device.sectors.get());
    }
    match sb.member().progress {
        Progress::Settled => {}
        Progress::Recovering { upto } | Progress::RecoveringByBitmap { upto } => {
            let used = sb.array().member_size;
            assert!(upto <= used || (used == Sectors::ZERO && upto <= sb.member().data.size));
        }
        Progress::Journal { tail } => assert!(tail.get() + 8 <= sb.member().data.size.get()),
    }
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
