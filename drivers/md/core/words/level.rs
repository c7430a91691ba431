// SPDX-License-Identifier: GPL-2.0

//! The names of levels, and the text of `md/level`.

use core::fmt;

use super::name::ShortText;
use super::number::{parse_i32, Radix};
use super::{line, WordError};
use crate::format::level::Level;

/// The personalities there are, in the order `/proc/mdstat` lists them, with their names.
pub const PERSONALITIES: [(Level, &str); 7] = [
    (Level::Raid0, "raid0"),
    (Level::Raid1, "raid1"),
    (Level::Raid4, "raid4"),
    (Level::Raid5, "raid5"),
    (Level::Raid6, "raid6"),
    (Level::Raid10, "raid10"),
    (Level::Linear, "linear"),
];

/// The name of a level's personality; `None` when there is no such personality.
pub fn level_name(level: Level) -> Option<&'static str> {
    PERSONALITIES
        .iter()
        .find(|(known, _)| *known == level)
        .map(|(_, name)| *name)
}

/// The text kept by `md/level` of an array that does not run. It reads back as written, known or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LevelText(ShortText<15>);

impl LevelText {
    /// Reads a name or a number of at most 15 characters.
    ///
    /// # Errors
    ///
    /// [`WordError::BadLength`], [`WordError::BadCharacter`], both `EINVAL`.
    pub fn parse(written: &[u8]) -> Result<Self, WordError> {
        ShortText::new(line(written)).map(Self)
    }

    /// The level it names, by name (`raid5`) or by number (`5`); `None` when no personality answers to it.
    pub fn level(&self) -> Option<Level> {
        let text = self.0.as_str();
        let named = PERSONALITIES
            .iter()
            .find(|(_, name)| *name == text)
            .map(|(level, _)| *level);
        named.or_else(|| {
            let level = Level::from_number(parse_i32(text.as_bytes(), Radix::Decimal).ok()?);
            level_name(level).map(|_| level)
        })
    }
}

impl fmt::Display for LevelText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_is_found_by_name_and_number() {
        for (level, name) in PERSONALITIES {
            let level_of = |text: &str| LevelText::parse(text.as_bytes()).map(|text| text.level());
            assert_eq!(level_name(level), Some(name));
            assert_eq!(level_of(name), Ok(Some(level)));
            assert_eq!(level_of(&level.number().to_string()), Ok(Some(level)));
        }
    }

    #[test]
    fn unknown_levels_are_kept_but_name_nothing() {
        let container = LevelText::parse(b"container\n").expect("a short text");
        assert_eq!(
            (container.level(), container.to_string().as_str()),
            (None, "container")
        );
        assert_eq!(LevelText::parse(b"2").map(|text| text.level()), Ok(None));
        assert_eq!(
            LevelText::parse(b"0123456789abcdef"),
            Err(WordError::BadLength)
        );
        assert_eq!(LevelText::parse(b"\n"), Err(WordError::BadLength));
        assert_eq!(LevelText::parse(b"a b"), Err(WordError::BadCharacter));
    }
}
