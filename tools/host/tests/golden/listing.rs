// SPDX-License-Identifier: GPL-2.0

//! What mdadm prints, as names and values; and numbers as it prints them.

use md_core::format::{ident::SbTime, level::Level};
use std::collections::BTreeMap;

use super::Image;

pub(super) type Fields = BTreeMap<String, String>;

/// Lines of `mdadm --examine` that have no name.
fn is_prose(line: &str) -> bool {
    let line = line.trim();
    line.is_empty()
        || line.starts_with("/dev/loop")
        || line.starts_with("Number   Major")
        // The table of a 0.90 superblock, compared apart.
        || line.starts_with("this ")
        || line.starts_with(|c: char| c.is_ascii_digit())
        // What mdadm says of a lockless bitmap.
        || line.starts_with("mdadm: unknown bitmap version 6")
        || line == "mdadm: is corrupted or you need to upgrade your tools"
}

/// The fields that `command` printed. Values lose what mdadm adds in parentheses: the same in larger units.
pub(super) fn fields(image: &Image, command: &str) -> Fields {
    let text = image
        .listing
        .listing(command)
        .unwrap_or_else(|| panic!("{}: no {command}", image.name));
    let mut fields = Fields::new();
    for line in text.lines().filter(|line| !is_prose(line)) {
        let (key, value) = line
            .split_once(" : ")
            .unwrap_or_else(|| panic!("{}: what is this? {line}", image.name));
        let (key, value) = (key.trim().to_owned(), plain(key.trim(), value));
        assert!(
            fields.insert(key, value).is_none(),
            "{}: twice: {line}",
            image.name
        );
    }
    fields
}

fn plain(key: &str, value: &str) -> String {
    let keep = matches!(key, "Bitmap" | "Delta Devices");
    let end = value.find(" (").filter(|_| !keep);
    value[..end.unwrap_or(value.len())].trim().to_owned()
}

/// The fields of `mdadm --examine --export`.
pub(super) fn exported(image: &Image) -> Fields {
    let text = image
        .listing
        .listing("mdadm --examine --export")
        .expect("an export");
    text.lines()
        .map(|line| {
            let (key, value) = line
                .split_once('=')
                .unwrap_or_else(|| panic!("{}: {line}", image.name));
            (key.to_owned(), value.to_owned())
        })
        .collect()
}

/// Panics, naming the field, when `theirs` and `ours` are not the same.
pub(super) fn compare(image: &Image, theirs: &Fields, ours: &Fields) {
    for key in theirs.keys().chain(ours.keys()) {
        assert_eq!(
            theirs.get(key),
            ours.get(key),
            "{}: mdadm's (left) and our {key:?}",
            image.name
        );
    }
}

/// Collects fields to compare.
#[derive(Default)]
pub(super) struct Ours(pub(super) Fields);

impl Ours {
    pub(super) fn add(&mut self, key: &str, value: impl ToString) {
        self.0.insert(key.to_owned(), value.to_string());
    }

    pub(super) fn add_if(&mut self, present: bool, key: &str, value: impl ToString) {
        if present {
            self.add(key, value);
        }
    }
}

/// mdadm's name of a level.
pub(super) fn level(level: Level) -> &'static str {
    md_core::words::level::level_name(level).expect("a level with a name")
}

/// A time as `ctime()` has it in UTC: `Fri Nov 20 13:24:37 2026`.
pub(super) fn ctime(time: SbTime) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [(&str, u64); 12] = [
        ("Jan", 31),
        ("Feb", 28),
        ("Mar", 31),
        ("Apr", 30),
        ("May", 31),
        ("Jun", 30),
        ("Jul", 31),
        ("Aug", 31),
        ("Sep", 30),
        ("Oct", 31),
        ("Nov", 30),
        ("Dec", 31),
    ];
    let (mut day, second) = (time.seconds() / 86_400, time.seconds() % 86_400);
    let weekday = DAYS[usize::try_from(day % 7).expect("below 7")];
    let leap = |year: u64| u64::from(year % 4 == 0 && (year % 100 != 0 || year % 400 == 0));
    let mut year = 1970;
    while day >= 365 + leap(year) {
        day -= 365 + leap(year);
        year += 1;
    }
    let mut months = MONTHS.iter().map(|&(name, days)| match name {
        "Feb" => (name, days + leap(year)),
        _ => (name, days),
    });
    let month = months.find_map(|(name, days)| match day.checked_sub(days) {
        Some(rest) => {
            day = rest;
            None
        }
        None => Some(name),
    });
    format!(
        "{weekday} {} {:>2} {:02}:{:02}:{:02} {year}",
        month.expect("a day of the year"),
        day + 1,
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

/// mdadm's short length: `19.92MB`, up to 2 GiB.
pub(super) fn short_length(sectors: u64) -> String {
    let hundredths = (sectors * 512 / 5000).div_ceil(2);
    format!("{}.{:02}MB", hundredths / 100, hundredths % 100)
}

/// mdadm's length of a bitmap chunk: `64 KB`, `64 MB`.
pub(super) fn chunk_length(bytes: u64) -> String {
    let units = ["bytes", "KB", "MB", "GB"];
    let steps = (bytes.trailing_zeros() / 10).min(3);
    format!(
        "{} {}",
        bytes >> (10 * steps),
        units[usize::try_from(steps).expect("at most 3")]
    )
}
