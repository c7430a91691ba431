// SPDX-License-Identifier: GPL-2.0

//! Numbers of superblocks as words, those that mdadm uses where it has one.

use md_core::{
    format::{
        bitmap::StateBits,
        ident::SbTime,
        level::Level,
        sb1::{ArrayState, Features, Role},
    },
    layout::{
        mirror::{FarSets, FarSpread, Raid10Layout},
        raid0::ZoneOrder,
        raid456::{Raid5Layout, Raid6Layout},
    },
    words::level::level_name,
};

pub fn level(level: Level) -> String {
    level_name(level).map_or_else(|| level.number().to_string(), str::to_owned)
}

/// The layout of an array as a word; its number when the level does not know it.
pub fn layout(array: &ArrayState) -> Option<String> {
    array.layout.and_then(|word| layout_word(array.level, word))
}

/// The layout `word` of `level`, or `None` for levels without layouts.
pub fn layout_word(level: Level, word: u32) -> Option<String> {
    let known = match level {
        Level::Raid5 => Raid5Layout::parse(word)
            .ok()
            .map(|layout| raid5(layout).to_owned()),
        Level::Raid6 => Raid6Layout::parse(word)
            .ok()
            .map(|layout| raid6(layout).to_owned()),
        Level::Raid10 => Raid10Layout::parse(word).ok().map(raid10),
        Level::Raid0 => ZoneOrder::from_word(word).map(|order| raid0(order).to_owned()),
        _ => return None,
    };
    Some(known.unwrap_or_else(|| format!("{word:#x}")))
}

fn raid0(order: ZoneOrder) -> &'static str {
    match order {
        ZoneOrder::Original => "original",
        ZoneOrder::Alternate => "alternate",
    }
}

fn raid5(layout: Raid5Layout) -> &'static str {
    match layout {
        Raid5Layout::LeftAsymmetric => "left-asymmetric",
        Raid5Layout::RightAsymmetric => "right-asymmetric",
        Raid5Layout::LeftSymmetric => "left-symmetric",
        Raid5Layout::RightSymmetric => "right-symmetric",
        Raid5Layout::ParityFirst => "parity-first",
        Raid5Layout::ParityLast => "parity-last",
    }
}

fn raid6(layout: Raid6Layout) -> &'static str {
    match layout {
        Raid6Layout::LeftAsymmetric => "left-asymmetric",
        Raid6Layout::RightAsymmetric => "right-asymmetric",
        Raid6Layout::LeftSymmetric => "left-symmetric",
        Raid6Layout::RightSymmetric => "right-symmetric",
        Raid6Layout::ParityFirst => "parity-first",
        Raid6Layout::ParityLast => "parity-last",
        Raid6Layout::RotatingZeroRestart => "ddf-zero-restart",
        Raid6Layout::RotatingNRestart => "ddf-N-restart",
        Raid6Layout::RotatingNContinue => "ddf-N-continue",
        Raid6Layout::LeftAsymmetric6 => "left-asymmetric-6",
        Raid6Layout::RightAsymmetric6 => "right-asymmetric-6",
        Raid6Layout::LeftSymmetric6 => "left-symmetric-6",
        Raid6Layout::RightSymmetric6 => "right-symmetric-6",
        Raid6Layout::ParityFirst6 => "parity-first-6",
    }
}

fn raid10(layout: Raid10Layout) -> String {
    let far = match layout.spread() {
        FarSpread::Far => "far",
        FarSpread::Offset => "offset",
    };
    let sets = match layout.sets() {
        FarSets::Whole => "",
        FarSets::MembersByFar => ", sets by far copies",
        FarSets::Copies => ", sets by copies",
    };
    match (layout.near(), layout.far()) {
        (near, 1) => format!("near={near}{sets}"),
        (1, copies) => format!("{far}={copies}{sets}"),
        (near, copies) => format!("near={near}, {far}={copies}{sets}"),
    }
}

pub fn role(role: Role) -> String {
    match role {
        Role::Spare => "spare".to_owned(),
        Role::Faulty => "faulty".to_owned(),
        Role::Journal => "journal".to_owned(),
        Role::Active(slot) => format!("slot {slot}"),
        Role::Reserved(raw) => format!("reserved {raw:#06x}"),
    }
}

pub fn features(features: Features) -> Vec<&'static str> {
    let all = [
        (Features::BITMAP_OFFSET, "bitmap"),
        (Features::RECOVERY_OFFSET, "recovery-offset"),
        (Features::RESHAPE_ACTIVE, "reshape-active"),
        (Features::BAD_BLOCKS, "bad-blocks"),
        (Features::REPLACEMENT, "replacement"),
        (Features::RESHAPE_BACKWARDS, "reshape-backwards"),
        (Features::NEW_OFFSET, "new-offset"),
        (Features::RECOVERY_BITMAP, "recovery-by-bitmap"),
        (Features::CLUSTERED, "clustered"),
        (Features::JOURNAL, "journal"),
        (Features::PPL, "ppl"),
        (Features::MULTIPLE_PPLS, "multiple-ppls"),
        (Features::RAID0_LAYOUT, "raid0-layout"),
    ];
    let set = all.iter().filter(|(bit, _)| features.contains(*bit));
    set.map(|(_, name)| *name).collect()
}

pub fn bitmap_state(state: StateBits) -> Vec<String> {
    let all = [
        (StateBits::STALE, "stale"),
        (StateBits::WRITE_ERROR, "write-error"),
        (StateBits::FIRST_USE, "first-use"),
        (StateBits::CLEAN, "assume-clean"),
        (StateBits::DAEMON_BUSY, "daemon-busy"),
        (StateBits::SHUTDOWN, "shutdown"),
        (StateBits::HOST_ENDIAN, "host-endian"),
    ];
    let set = all.iter().filter(|(bit, _)| state.contains(*bit));
    let mut names: Vec<String> = set.map(|(_, name)| (*name).to_owned()).collect();
    let rest = all.iter().fold(state, |rest, (bit, _)| rest.without(*bit));
    if rest != StateBits::default() {
        names.push(format!("{:#x}", rest.to_raw()));
    }
    names
}

/// A time as `2026-11-20T13:25:18.000000Z`, or `None` for zero, which means never.
pub fn time(time: SbTime) -> Option<String> {
    const DAY_S: u64 = 86_400;
    if time == SbTime::default() {
        return None;
    }
    let (days, second) = (time.seconds() / DAY_S, time.seconds() % DAY_S);
    let (year, month, day) = date(days);
    let (hour, minute) = (second / 3600, second / 60 % 60);
    Some(format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}.{:06}Z",
        second % 60,
        time.micros()
    ))
}

/// Year, month and day of the day `days` after 1970-01-01, by eras of 400 years that begin in March.
fn date(days: u64) -> (u64, u64, u64) {
    const ERA_DAYS: u64 = 146_097;
    let days = days + 719_468;
    let (era, day_of_era) = (days / ERA_DAYS, days % ERA_DAYS);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_across_leap_years() {
        assert_eq!(date(0), (1970, 1, 1));
        assert_eq!(date(11_016), (2000, 2, 29));
        assert_eq!(date(11_017), (2000, 3, 1));
        assert_eq!(date(47_540), (2100, 2, 28));
        assert_eq!(date(47_541), (2100, 3, 1));
        let at = SbTime::new(1_795_181_118, 42).expect("a time");
        assert_eq!(time(at).as_deref(), Some("2026-11-20T13:25:18.000042Z"));
        assert_eq!(time(SbTime::default()), None);
    }

    #[test]
    fn layouts_have_mdadms_names() {
        let name = |level, word| layout_word(level, word);
        assert_eq!(name(Level::Raid10, 0x10201).as_deref(), Some("offset=2"));
        assert_eq!(name(Level::Raid10, 0x102).as_deref(), Some("near=2"));
        assert_eq!(name(Level::Raid5, 2).as_deref(), Some("left-symmetric"));
        assert_eq!(name(Level::Raid5, 99).as_deref(), Some("0x63"));
        assert_eq!(name(Level::Raid1, 0), None);
    }
}
