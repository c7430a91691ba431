// SPDX-License-Identifier: GPL-2.0

//! Cases of [`words`](crate::words): what is accepted, what is refused and for which reason, how it reads back.

use core::fmt::{self, Display, Write};

use super::{ensure, Case, Suite, Verdict};
use crate::format::level::Level;
use crate::units::{BitmapChunk, Sector, Sectors, Slot};
use crate::words::array::{ArrayState, ArrayStateRequest, MetadataVersion, SafeModeDelay};
use crate::words::bitmap::{BitmapKind, LocationRequest, TimeBase};
use crate::words::device::DeviceNumber;
use crate::words::ioctl::Ioctl;
use crate::words::level::LevelText;
use crate::words::mdstat::{self, Active, ArrayView, Geometry, MemberView, Role, Run, SlotHealth};
use crate::words::member::{parse_slot, BadBlockLine, MemberCommand};
use crate::words::name::ArrayName;
use crate::words::number::{parse_u64, Radix};
use crate::words::progress::{Rate, SyncKind, SyncLine, SyncProgress};
use crate::words::sync::{ChunkRanges, Limit, SyncAction};
use crate::words::WordError;

/// The suite of words.
pub static SUITE: Suite = Suite {
    name: "words",
    cases: &[
        Case {
            name: "keywords_read_back",
            run: keywords_read_back,
        },
        Case {
            name: "numbers_follow_kstrtox",
            run: numbers_follow_kstrtox,
        },
        Case {
            name: "texts_read_back",
            run: texts_read_back,
        },
        Case {
            name: "texts_are_refused",
            run: texts_are_refused,
        },
        Case {
            name: "bitmap_ranges_are_checked",
            run: bitmap_ranges_are_checked,
        },
        Case {
            name: "ioctl_numbers",
            run: ioctl_numbers,
        },
        Case {
            name: "mdstat_of_a_mirror",
            run: mdstat_of_a_mirror,
        },
    ],
};

/// A line of text without allocation; what does not fit is an error.
struct Line {
    bytes: [u8; 256],
    len: usize,
}

impl Line {
    const EMPTY: Self = Self {
        bytes: [0; 256],
        len: 0,
    };

    fn text(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len.checked_add(text.len()).ok_or(fmt::Error)?;
        let room = self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

/// A row number as it is reported.
fn row(index: usize) -> u64 {
    u64::try_from(index).unwrap_or(u64::MAX)
}

fn reads_as(value: impl Display, want: &[u8]) -> bool {
    let mut line = Line::EMPTY;
    write!(line, "{value}").is_ok() && line.text() == want
}

/// Whether `text` with a newline is read, and printed as `text` again.
fn round_trips<T: Display>(text: &[u8], parse: fn(&[u8]) -> Result<T, WordError>) -> bool {
    parse(text).is_ok_and(|value| reads_as(value, text))
}

fn keywords_read_back() -> Verdict {
    for (index, state) in ArrayState::ALL.iter().enumerate() {
        let back = ArrayState::parse(state.as_str().as_bytes());
        ensure(back == Ok(*state), "an array_state reads back", row(index))?;
    }
    for (index, action) in SyncAction::ALL.iter().enumerate() {
        let back = SyncAction::parse(action.as_str().as_bytes());
        ensure(back == Ok(*action), "a sync_action reads back", row(index))?;
    }
    for (index, command) in MemberCommand::ALL.iter().enumerate() {
        let back = MemberCommand::parse(command.as_str().as_bytes());
        ensure(
            back == Ok(*command),
            "a member command reads back",
            row(index),
        )?;
    }
    let newline = SyncAction::parse(b"check\n") == Ok(SyncAction::Check);
    ensure(newline, "one newline is allowed", 0)?;
    ensure(
        SyncAction::parse(b"check\n\n").is_err(),
        "two newlines are not",
        0,
    )
}

fn numbers_follow_kstrtox() -> Verdict {
    let table: [(&[u8], Radix, Result<u64, WordError>); 12] = [
        (b"0", Radix::Decimal, Ok(0)),
        (b"+12\n", Radix::Decimal, Ok(12)),
        (b"18446744073709551615", Radix::Decimal, Ok(u64::MAX)),
        (
            b"18446744073709551616",
            Radix::Decimal,
            Err(WordError::TooLarge),
        ),
        (
            b"99999999999999999999 junk",
            Radix::Decimal,
            Err(WordError::TooLarge),
        ),
        (b"", Radix::Decimal, Err(WordError::NotANumber)),
        (b"-1", Radix::Decimal, Err(WordError::NotANumber)),
        (b"1 ", Radix::Decimal, Err(WordError::NotANumber)),
        (b"0x1f", Radix::Decimal, Err(WordError::NotANumber)),
        (b"0x1f", Radix::Detect, Ok(31)),
        (b"017", Radix::Detect, Ok(15)),
        (b"019", Radix::Detect, Err(WordError::NotANumber)),
    ];
    for (index, (text, radix, want)) in table.iter().enumerate() {
        ensure(
            parse_u64(text, *radix) == *want,
            "kstrtoull agrees",
            row(index),
        )?;
    }
    Ok(())
}

fn texts_read_back() -> Verdict {
    for (index, text) in [&b"none"[..], b"external:imsm", b"0.90", b"1.2"]
        .iter()
        .enumerate()
    {
        ensure(
            round_trips(text, MetadataVersion::parse),
            "metadata_version",
            row(index),
        )?;
    }
    for (index, text) in [&b"md0"[..], b"md1048575", b"md_home"].iter().enumerate() {
        ensure(
            round_trips(text, ArrayName::parse),
            "an array name",
            row(index),
        )?;
    }
    ensure(
        round_trips(b"0.200", SafeModeDelay::parse),
        "safe_mode_delay",
        0,
    )?;
    ensure(round_trips(b"5", TimeBase::parse), "time_base", 0)?;
    ensure(round_trips(b"0.250", TimeBase::parse), "time_base", 1)?;
    ensure(round_trips(b"8:17", DeviceNumber::parse), "new_dev", 0)?;
    ensure(round_trips(b"4096 8", BadBlockLine::parse), "bad_blocks", 0)?;
    ensure(round_trips(b"raid6", LevelText::parse), "level", 0)?;
    ensure(
        reads_as(BitmapKind::Llbitmap.choice(), b"none bitmap [llbitmap] "),
        "bitmap_type",
        0,
    )?;
    ensure(
        reads_as(Limit::System.shown(1000), b"1000 (system)"),
        "sync_speed_min",
        0,
    )?;
    ensure(parse_slot(b"3\n") == Ok(Some(Slot::new(3))), "slot", 0)
}

fn texts_are_refused() -> Verdict {
    let refused = |result: Result<(), WordError>, want, at| {
        ensure(result == Err(want), "refused for the right reason", at)
    };
    let name = |text| ArrayName::parse(text).map(drop);
    refused(
        name(b"md_345678901234567890123456789012"),
        WordError::NameTooLong,
        0,
    )?;
    refused(name(b"md1048576"), WordError::BadArrayName, 1)?;
    refused(name(b"md_a/b"), WordError::BadCharacter, 2)?;
    refused(
        ArrayStateRequest::parse(b"broken").map(drop),
        WordError::ReadOnlyWord,
        3,
    )?;
    refused(
        MetadataVersion::parse(b"2.0").map(drop),
        WordError::NoSuchMetadata,
        4,
    )?;
    refused(
        SafeModeDelay::parse(b"").map(drop),
        WordError::NotANumber,
        5,
    )?;
    refused(
        SafeModeDelay::parse(b".").map(drop),
        WordError::NotANumber,
        6,
    )?;
    refused(TimeBase::parse(b".").map(drop), WordError::NotANumber, 7)?;
    refused(
        DeviceNumber::parse(b"4096:0").map(drop),
        WordError::DeviceOverflow,
        8,
    )?;
    refused(
        parse_slot(b"4294967295").map(drop),
        WordError::SlotOverflow,
        9,
    )?;
    let wrapped = BadBlockLine::parse(b"18446744073709551624 8").map(drop);
    refused(wrapped, WordError::OutOfRange, 10)?;
    refused(
        LocationRequest::parse(b"0").map(drop),
        WordError::OutOfRange,
        11,
    )?;
    refused(
        LocationRequest::parse(b"file:/x").map(drop),
        WordError::FileUnsupported,
        12,
    )?;
    let kind = BitmapKind::parse_name_or_number(b"11").map(drop);
    refused(kind, WordError::NoSuchBitmap, 13)?;
    refused(Limit::parse(b"0").map(drop), WordError::OutOfRange, 14)
}

fn bitmap_ranges_are_checked() -> Verdict {
    let total = |text: &[u8]| {
        let ranges = ChunkRanges::parse(text, BitmapChunk::new(64)).ok()?;
        let length = |(first, last): (u64, u64)| last.checked_sub(first)?.checked_add(1);
        let mut lengths = ranges.map(|range| length((range.first.get(), range.last.get())));
        lengths.try_fold(0_u64, |sum, length| sum.checked_add(length?))
    };
    ensure(total(b"1 3-5 0x10\n") == Some(5), "chunks and ranges", 0)?;
    ensure(total(b"").is_some_and(|sum| sum == 0), "nothing", 1)?;
    ensure(
        total(b"0-18446744073709551615").is_none(),
        "a huge range is refused",
        2,
    )?;
    ensure(total(b"1 64").is_none(), "all is refused when a part is", 3)?;
    ensure(total(b"5-3").is_none(), "a reversed range is refused", 4)?;
    ensure(total(b"1 junk").is_none(), "garbage is refused", 5)
}

fn ioctl_numbers() -> Verdict {
    for (index, ioctl) in Ioctl::ALL.iter().enumerate() {
        let back = Ioctl::from_number(ioctl.number());
        ensure(
            back == Some(*ioctl),
            "an ioctl is found by its number",
            row(index),
        )?;
    }
    ensure(
        Ioctl::from_number(0x914).is_none(),
        "RAID_AUTORUN is not answered",
        0x914,
    )
}

fn mdstat_of_a_mirror() -> Verdict {
    let progress = SyncProgress {
        kind: SyncKind::Recovery,
        position: Sector::new(1 << 20),
        total: Sectors::new(1 << 22),
        rate: Rate {
            seconds: 10,
            done: Sectors::new(400_000),
        },
    };
    let run = Run::Active(Active {
        level: Level::Raid1,
        health: mdstat::Health::Sound,
        access: mdstat::Access::ReadWrite,
        size: Sectors::new(1 << 22),
        geometry: Geometry::Raid1,
        degraded: 1,
        sync: SyncLine::Running(progress),
    });
    let array = ArrayView {
        name: "md0",
        metadata: MetadataVersion::V1 { minor: 2 },
        run,
        bitmap: None,
    };
    let member = MemberView {
        name: "sda",
        number: None,
        role: Role::InSlot,
        reads: mdstat::Reads::Normal,
        size: Sectors::new(1 << 22),
    };
    let slots = [SlotHealth::InSync, SlotHealth::Missing];
    let mut line = Line::EMPTY;
    let printed = mdstat::print_array(
        &mut line,
        &array,
        core::iter::once(member),
        slots.into_iter(),
    );
    ensure(printed.is_ok(), "it fits", 0)?;
    let want: &[u8] = b"md0 : active raid1 sda[-1]\n      2097152 blocks super 1.2 [2/1] [U_]\n      \
[====>................]  recovery = 24.9% (524288/2097152) finish=1.3min speed=20000K/sec\n      \n";
    ensure(line.text() == want, "it reads as C md prints it", 0)
}
