// SPDX-License-Identifier: GPL-2.0

//! Properties of `md_core::words`: whatever is printed can be read again, and no text makes a parser panic or accept a
//! value outside its range.

use std::fmt::Display;

use md_core::format::level::Level;
use md_core::units::{BitmapChunk, MemberNumber, Sector, SectorRange, Sectors};
use md_core::words::array::{self, ArraySize, ArrayStateRequest, ChunkBytes, ConsistencyPolicy};
use md_core::words::array::{ArrayState, MetadataVersion, ReshapeDirection, SafeModeDelay};
use md_core::words::bitmap::{self, BitmapKind, BitmapLocation, LocationRequest, TimeBase};
use md_core::words::device::{DeviceNumber, Major, Minor};
use md_core::words::level::LevelText;
use md_core::words::mdstat::{
    self, Active, ArrayView, Geometry, MemberView, Role, Run, SlotHealth,
};
use md_core::words::member::{self, BadBlockLine, MemberCommand};
use md_core::words::name::{ArrayName, MINOR_MAX};
use md_core::words::number::{self, Decimals, Radix, SectorOrNone};
use md_core::words::progress::{Rate, SyncKind, SyncLine, SyncProgress};
use md_core::words::sync::{self, ChunkRanges, Limit, SyncAction, SyncMax};
use md_core::words::{line, raid456, WordError};
use proptest::prelude::*;

/// What a value prints, with and without the newline, reads as the value again.
fn assert_round_trip<T>(value: T, parse: fn(&[u8]) -> Result<T, WordError>)
where
    T: Display + PartialEq + std::fmt::Debug + Copy,
{
    let text = value.to_string();
    assert_eq!(parse(text.as_bytes()), Ok(value), "{text:?}");
    assert_eq!(
        parse(format!("{text}\n").as_bytes()),
        Ok(value),
        "{text:?} and a newline"
    );
    assert_eq!(
        parse(format!("{text}\0junk").as_bytes()),
        Ok(value),
        "{text:?} and a NUL"
    );
}

#[test]
fn every_keyword_reads_back() {
    ArrayState::ALL
        .iter()
        .for_each(|word| assert_round_trip(*word, ArrayState::parse));
    SyncAction::ALL
        .iter()
        .for_each(|word| assert_round_trip(*word, SyncAction::parse));
    MemberCommand::ALL
        .iter()
        .for_each(|word| assert_round_trip(*word, MemberCommand::parse));
    ConsistencyPolicy::ALL
        .iter()
        .for_each(|word| assert_round_trip(*word, ConsistencyPolicy::parse));
    ReshapeDirection::ALL
        .iter()
        .for_each(|word| assert_round_trip(*word, ReshapeDirection::parse));
    BitmapKind::ALL
        .iter()
        .for_each(|word| assert_round_trip(*word, BitmapKind::parse));
    let modes = raid456::JournalMode::ALL.iter();
    modes.for_each(|word| assert_round_trip(*word, raid456::JournalMode::parse));
}

/// Texts that look like what is written to attributes: mostly well-formed pieces, sometimes anything.
fn written() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"none".to_vec()),
        Just(b"external:".to_vec()),
        Just(b"system".to_vec()),
        Just(b"max".to_vec()),
        Just(b"md_".to_vec()),
        Just(b"md".to_vec()),
        any::<u64>().prop_map(|number| number.to_string().into_bytes()),
        any::<i32>().prop_map(|number| number.to_string().into_bytes()),
        any::<u32>().prop_map(|number| format!("{number:#x}").into_bytes()),
        "[-+.: \t\n/0-9x]{1,3}".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..8),
    ];
    proptest::collection::vec(piece, 0..5).prop_map(|pieces| pieces.concat())
}

/// `kstrtoull()` as lib/kstrtox.c has it, written down independently for base 10.
fn kstrtoull(written: &[u8]) -> Result<u64, WordError> {
    let end = written
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(written.len());
    let mut text = &written[..end];
    if text.first() == Some(&b'+') {
        text = &text[1..];
    }
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut value = Some(0_u64);
    for byte in &text[..digits] {
        value = value.and_then(|value| value.checked_mul(10)?.checked_add(u64::from(byte - b'0')));
    }
    match (digits, &text[digits..], value) {
        (_, _, None) => Err(WordError::TooLarge),
        (1.., b"" | b"\n", Some(value)) => Ok(value),
        _ => Err(WordError::NotANumber),
    }
}

proptest! {
    #[test]
    fn decimal_numbers_are_those_of_the_kernel(text in written()) {
        prop_assert_eq!(number::parse_u64(&text, Radix::Decimal), kstrtoull(&text));
    }

    #[test]
    fn signed_numbers_are_those_of_the_language(value in any::<i64>(), small in any::<i32>()) {
        let text = value.to_string();
        prop_assert_eq!(number::parse_i64(text.as_bytes(), Radix::Decimal), Ok(value));
        let fits = i32::try_from(value).map_err(|_| WordError::TooLarge);
        prop_assert_eq!(number::parse_i32(text.as_bytes(), Radix::Decimal), fits);
        let text = small.to_string();
        prop_assert_eq!(number::parse_i32(text.as_bytes(), Radix::Decimal), Ok(small));
    }

    #[test]
    fn radix_is_detected(value in any::<u64>()) {
        let shouted = format!("{value:#X}").replace("0x", "0X");
        for text in [format!("{value}"), format!("{value:#x}"), shouted, format!("0{value:o}")] {
            prop_assert_eq!(number::parse_u64(text.as_bytes(), Radix::Detect), Ok(value), "{}", text);
        }
    }

    #[test]
    fn no_text_is_too_strange(text in written()) {
        // The values that are accepted are inside their documented ranges; the rest only must not panic.
        let _ = (LevelText::parse(&text), ArrayStateRequest::parse(&text), line(&text).len());
        let _ = (number::parse_bool(&text), number::parse_i32(&text, Radix::Detect), number::parse_kib(&text));
        let _ = (BitmapKind::parse_name_or_number(&text), bitmap::parse_space(&text));
        let _ = member::parse_errors(&text);
        let _ = (array::parse_layout(&text), array::parse_new_level(&text), raid456::RmwLevel::parse(&text));
        let _ = (sync::parse_force_parallel(&text), raid456::parse_skip_copy(&text));
        let _ = raid456::parse_ppl_write_hint(&text);
        if let Ok(slots) = array::parse_raid_disks(&text) {
            prop_assert!(slots <= array::RAID_DISKS_MAX);
        }
        if let Ok(Some(slot)) = member::parse_slot(&text) {
            prop_assert!(slot.get() < array::RAID_DISKS_MAX);
        }
        if let Ok(errors) = array::parse_max_read_errors(&text) {
            prop_assert!(i32::try_from(errors).is_ok());
        }
        if let Ok(bytes) = bitmap::parse_chunksize(&text) {
            prop_assert!(bytes.is_power_of_two() && bytes >= 512);
        }
        if let Ok(backlog) = bitmap::parse_backlog(&text) {
            prop_assert!(backlog <= bitmap::BACKLOG_MAX);
        }
        if let Ok(start) = sync::parse_sync_min(&text) {
            prop_assert_eq!(start.get() % 8, 0);
        }
        if let Ok(size) = raid456::parse_stripe_cache_size(&text) {
            prop_assert!((17..=32768).contains(&size));
        }
    }

    #[test]
    fn what_is_accepted_reads_back(text in written()) {
        fn check<T: Display + PartialEq + std::fmt::Debug + Copy>(
            text: &[u8],
            parse: fn(&[u8]) -> Result<T, WordError>,
        ) {
            if let Ok(value) = parse(text) {
                assert_round_trip(value, parse);
            }
        }
        check(&text, ArrayName::parse);
        check(&text, LevelText::parse);
        check(&text, MetadataVersion::parse);
        check(&text, SafeModeDelay::parse);
        check(&text, ArraySize::parse);
        check(&text, ChunkBytes::parse);
        check(&text, SectorOrNone::parse);
        check(&text, SyncMax::parse);
        check(&text, TimeBase::parse);
        check(&text, DeviceNumber::parse);
        check(&text, BadBlockLine::parse);
    }

    #[test]
    fn numbers_of_every_kind_read_back(value in any::<u64>(), small in any::<u32>(), offset in any::<i64>()) {
        assert_round_trip(SectorOrNone::from_stored(Sector::new(value)), SectorOrNone::parse);
        assert_round_trip(ArrayName::Minor(small & MINOR_MAX), ArrayName::parse);
        assert_round_trip(DeviceNumber::from_kernel(small), DeviceNumber::parse);
        assert_round_trip(TimeBase::from_seconds(small), TimeBase::parse);
        assert_round_trip(ArraySize::Fixed(Sectors::new(value & !1)), ArraySize::parse);
        if let Some(chunk) = ChunkBytes::from_sectors(Sectors::new(u64::from(small >> 8))) {
            assert_round_trip(chunk, ChunkBytes::parse);
        }
        if let Some(range) = SectorRange::new(Sector::new(value), Sectors::new(u64::from(small >> 1))) {
            assert_round_trip(BadBlockLine(range), BadBlockLine::parse);
        }
        if let Some(offset) = std::num::NonZeroI64::new(offset) {
            let shown = BitmapLocation::At(offset).to_string();
            prop_assert_eq!(LocationRequest::parse(shown.as_bytes()), Ok(LocationRequest::At(offset)));
        }
    }

    #[test]
    fn device_numbers_survive_both_encodings(dev in any::<u32>()) {
        let number = DeviceNumber::from_kernel(dev);
        prop_assert_eq!(number.to_kernel(), dev);
        prop_assert_eq!(DeviceNumber::from_user(number.to_user()), number);
        let Major(major) = number.major();
        let Minor(minor) = number.minor();
        prop_assert_eq!(DeviceNumber::new(Major(major), Minor(minor)), Ok(number));
    }

    #[test]
    fn fixed_point_agrees_with_decimal_arithmetic(whole in 0_u64..1 << 40, fraction in 0_u64..1_000_000) {
        let text = format!("{whole}.{fraction:06}");
        prop_assert_eq!(number::parse_scaled(text.as_bytes(), Decimals::Three), Ok(whole * 1000 + fraction / 1000));
        prop_assert_eq!(number::parse_scaled(text.as_bytes(), Decimals::Four), Ok(whole * 10_000 + fraction / 100));
    }

    #[test]
    fn limits_read_back(system in any::<u32>(), text in written()) {
        if let Ok(limit) = Limit::parse(&text) {
            let shown = limit.shown(system).to_string();
            let (number, source) = shown.split_once(' ').expect("two words");
            prop_assert_eq!(number, limit.effective(system).to_string());
            prop_assert_eq!(source, if limit == Limit::System { "(system)" } else { "(local)" });
        }
    }

    #[test]
    fn ranges_stay_inside_the_bitmap(text in written(), chunks in any::<u64>()) {
        if let Ok(ranges) = ChunkRanges::parse(&text, BitmapChunk::new(chunks)) {
            for range in ranges {
                prop_assert!(range.first <= range.last && range.last.get() < chunks);
            }
        }
    }

    #[test]
    fn ranges_are_all_found(ranges in proptest::collection::vec((0_u64..1000, 0_u64..1000), 0..6)) {
        let sorted: Vec<_> = ranges.iter().map(|(a, b)| (*a.min(b), *a.max(b))).collect();
        let words: Vec<_> = sorted.iter().map(|(first, last)| match first == last {
            true => format!("{first}"),
            false => format!("{first}-{last:#x}"),
        }).collect();
        let text = words.join(" ");
        let found: Vec<_> = ChunkRanges::parse(text.as_bytes(), BitmapChunk::new(1000))
            .expect("ranges of the bitmap")
            .map(|range| (range.first.get(), range.last.get()))
            .collect();
        prop_assert_eq!(found, sorted);
    }

    #[test]
    fn progress_never_leaves_its_scale(
        position in any::<u64>(),
        total in any::<u64>(),
        seconds in any::<u64>(),
        done in any::<u64>(),
    ) {
        let progress = SyncProgress {
            kind: SyncKind::Check,
            position: Sector::new(position),
            total: Sectors::new(total),
            rate: Rate { seconds, done: Sectors::new(done) },
        };
        prop_assert!(progress.per_mille() <= 1000);
        let text = progress.to_string();
        let bar = text.split(']').next().expect("a bar");
        prop_assert_eq!(bar.len(), 22, "{}", text);
        prop_assert!(text.contains("  check = "), "{}", text);
    }

    #[test]
    fn progress_is_that_of_c(
        position in 0_u64..1 << 48,
        more in 0_u64..1 << 48,
        seconds in 1_u64..1 << 20,
        done in 0_u64..1 << 40,
    ) {
        let total = position + more;
        let progress = SyncProgress {
            kind: SyncKind::Resync,
            position: Sector::new(position),
            total: Sectors::new(total),
            rate: Rate { seconds, done: Sectors::new(done) },
        };
        let per_mille = (position >> 10) * 1000 / ((total >> 10) + 1);
        let left = (total - position) / (done / 32 + 1);
        let left = left.saturating_mul(seconds) >> 5;
        let want = format!(
            "] {:>7} ={:3}.{}% ({}/{}) finish={}.{}min speed={}K/sec",
            "resync",
            per_mille / 10,
            per_mille % 10,
            position / 2,
            total / 2,
            left / 60,
            left % 60 / 6,
            done / 2 / seconds,
        );
        prop_assert!(progress.to_string().ends_with(&want), "{} {}", progress, want);
    }
}

/// What mdadm's mdstat.c makes of a line: array names begin a line, words are separated by blanks.
#[test]
fn mdadm_finds_its_words() {
    let run = Run::Active(Active {
        level: Level::Raid5,
        health: mdstat::Health::Sound,
        access: mdstat::Access::ReadWrite,
        size: Sectors::new(8192),
        geometry: Geometry::Raid456 {
            chunk: Sectors::new(1024),
            algorithm: 2,
        },
        degraded: 1,
        sync: SyncLine::Delayed,
    });
    let array = ArrayView {
        name: "md_home",
        metadata: MetadataVersion::V1 { minor: 2 },
        run,
        bitmap: Some(mdstat::BitmapView {
            used_pages: 0,
            pages: 1,
            page_bytes: 4096,
            chunk_bytes: 512,
            file: None,
        }),
    };
    let member = MemberView {
        name: "sda",
        number: Some(MemberNumber::new(3)),
        role: Role::Faulty,
        reads: mdstat::Reads::WriteMostly,
        size: Sectors::new(8),
    };
    let mut text = String::new();
    let slots = [SlotHealth::InSync, SlotHealth::Missing, SlotHealth::InSync];
    mdstat::print_array(
        &mut text,
        &array,
        std::iter::once(member),
        slots.into_iter(),
    )
    .expect("a string");
    let words: Vec<_> = text.split_whitespace().collect();
    assert_eq!(
        &words[..5],
        ["md_home", ":", "active", "raid5", "sda[3](W)(F)"]
    );
    assert!(words.windows(2).any(|pair| pair == ["super", "1.2"]));
    assert!(
        words.contains(&"[3/2]") && words.contains(&"[U_U]") && words.contains(&"resync=DELAYED")
    );
    assert!(
        text.ends_with("bitmap: 0/1 pages [0KB], 512B chunk\n\n"),
        "{text}"
    );
    // Continuation lines begin with a blank, else they would be arrays.
    assert!(text
        .lines()
        .skip(1)
        .all(|line| line.is_empty() || line.starts_with(' ')));
}
