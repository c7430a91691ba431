// SPDX-License-Identifier: GPL-2.0

//! Every text that is written to an attribute; what is printed of a value reads back as the same value.

#![no_main]

use libfuzzer_sys::fuzz_target;
use md_core::{
    units::BitmapChunk,
    words::{array, bitmap, device, ioctl, level, member, name, number, raid456, sync, WordError},
};

/// Parses `text`; what the value prints must parse to a value that prints the same.
fn reads_back<T: std::fmt::Display>(text: &[u8], parse: impl Fn(&[u8]) -> Result<T, WordError>) {
    if let Ok(value) = parse(text) {
        let printed = value.to_string();
        let again =
            parse(printed.as_bytes()).unwrap_or_else(|error| panic!("{printed:?}: {error}"));
        assert_eq!(again.to_string(), printed);
    }
}

fn numbers(text: &[u8]) {
    for radix in [number::Radix::Decimal, number::Radix::Detect] {
        reads_back(text, |text| number::parse_u32(text, radix));
        reads_back(text, |text| number::parse_i64(text, radix));
        reads_back(text, |text| number::parse_i32(text, radix));
        let _ = number::parse_u64(text, radix);
    }
    reads_back(text, number::parse_positive_int);
    reads_back(text, number::parse_sector);
    reads_back(text, number::SectorOrNone::parse);
    let _ = number::parse_bool(text);
    let _ = number::parse_kib(text);
    let _ = number::parse_scaled(text, number::Decimals::Three);
    let _ = number::parse_scaled(text, number::Decimals::Four);
}

fn arrays(text: &[u8]) {
    reads_back(text, name::ArrayName::parse);
    reads_back(text, level::LevelText::parse);
    reads_back(text, array::ArrayState::parse);
    reads_back(text, array::ConsistencyPolicy::parse);
    reads_back(text, array::ReshapeDirection::parse);
    reads_back(text, array::MetadataVersion::parse);
    reads_back(text, array::SafeModeDelay::parse);
    reads_back(text, array::ArraySize::parse);
    reads_back(text, array::ChunkBytes::parse);
    reads_back(text, array::parse_raid_disks);
    reads_back(text, array::parse_layout);
    reads_back(text, array::parse_new_level);
    reads_back(text, array::parse_max_read_errors);
    let _ = array::ArrayStateRequest::parse(text);
    let _ = level::LevelText::parse(text).map(|text| text.level());
}

fn syncs_and_bitmaps(text: &[u8]) {
    reads_back(text, sync::SyncAction::parse);
    reads_back(text, sync::SyncMax::parse);
    reads_back(text, sync::parse_sync_min);
    let _ = sync::Limit::parse(text);
    for chunks in [0, 1, 100, u64::MAX].map(BitmapChunk::new) {
        if let Ok(ranges) = sync::ChunkRanges::parse(text, chunks) {
            for range in ranges.take(64) {
                assert!(range.first <= range.last && range.last < chunks);
            }
        }
    }
    let _ = sync::parse_force_parallel(text);
    reads_back(text, bitmap::TimeBase::parse);
    reads_back(text, bitmap::BitmapMetadata::parse);
    reads_back(text, bitmap::CanClear::parse);
    reads_back(text, bitmap::parse_seconds);
    reads_back(text, bitmap::parse_space);
    reads_back(text, bitmap::parse_backlog);
    reads_back(text, bitmap::parse_chunksize);
    let _ = bitmap::LocationRequest::parse(text);
    let _ = bitmap::BitmapKind::parse_name_or_number(text);
}

fn members(text: &[u8]) {
    reads_back(text, device::DeviceNumber::parse);
    reads_back(text, member::MemberFlag::parse);
    reads_back(text, member::MemberCommand::parse);
    reads_back(text, member::parse_errors);
    reads_back(text, member::BadBlockLine::parse);
    let _ = member::parse_slot(text);
    reads_back(text, raid456::JournalMode::parse);
    reads_back(text, raid456::RmwLevel::parse);
    reads_back(text, raid456::parse_stripe_cache_size);
    reads_back(text, raid456::parse_group_thread_cnt);
    reads_back(text, raid456::parse_ppl_write_hint);
    let _ = raid456::parse_preread_bypass_threshold(text, 256);
    let _ = raid456::parse_skip_copy(text);
}

/// The other direction of the interface: numbers that ioctls come with.
fn ioctls(text: &[u8]) {
    if let Some(number) = text.first_chunk().copied().map(u32::from_le_bytes) {
        let known = ioctl::Ioctl::from_number(number);
        assert!(known.is_none_or(|known| known.number() == number));
        let _ = device::DeviceNumber::from_kernel(number);
        let _ = device::DeviceNumber::from_user(number);
    }
}

fuzz_target!(|text: &[u8]| {
    numbers(text);
    arrays(text);
    syncs_and_bitmaps(text);
    members(text);
    ioctls(text);
});
