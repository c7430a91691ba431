// SPDX-License-Identifier: GPL-2.0

//! Every word and number of the sysfs, ioctl and `/proc/mdstat` interfaces: parsed once, printed once.
//!
//! A `parse` function takes the bytes as written to an attribute and returns a value that needs no further check of its
//! own; whether the array is in a state to accept it is the caller's question. A value's `Display` is exactly what the
//! attribute reads as, without the final newline. So `parse(print(x)) == x` wherever an attribute goes both ways.
//!
//! Attributes read and write what C md's do, with three deliberate differences: a keyword must be the whole line (C
//! compares only a prefix for some of them), a number that would be truncated, wrapped or read back negative is
//! refused, and text that will be printed again must be printable ASCII.
//!
//! One file per noun: [`mod@array`], [`sync`], [`member`], [`bitmap`], [`raid456`] hold the attributes of those groups,
//! [`ioctl`] the numbers and structures of `<linux/raid/md_u.h>`, [`mdstat`] and [`progress`] the printer of
//! `/proc/mdstat`, [`name`] the names of arrays, [`device`] device numbers, [`number`] the number syntax beneath all
//! of them.

use core::fmt;

/// Declares an enum whose values are words, with its list, its parser and its printer.
macro_rules! word_list {
    ($(#[$doc:meta])* pub enum $name:ident { $($(#[$word_doc:meta])* $word:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$word_doc])* $word,)+
        }

        impl $name {
            /// Every word, in the order of the interface.
            pub const ALL: &'static [Self] = &[$(Self::$word),+];

            /// The word as it is printed.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$word => $text,)+
                }
            }

            /// The value of a written word; one trailing newline is allowed.
            ///
            /// # Errors
            ///
            /// [`UnknownWord`](super::WordError::UnknownWord).
            pub fn parse(written: &[u8]) -> Result<Self, super::WordError> {
                let text = super::line(written);
                Self::ALL
                    .iter()
                    .copied()
                    .find(|word| word.as_str().as_bytes() == text)
                    .ok_or(super::WordError::UnknownWord)
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

pub mod array;
pub mod bitmap;
pub mod device;
pub mod ioctl;
pub mod level;
pub mod mdstat;
pub mod member;
pub mod name;
pub mod number;
pub mod progress;
pub mod raid456;
pub mod sync;

/// Why written text was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WordError {
    /// None of the words the attribute knows (`EINVAL`).
    UnknownWord,
    /// A word that is only ever read, never written (`EINVAL`).
    ReadOnlyWord,
    /// Not a number, or something behind the number (`EINVAL`).
    NotANumber,
    /// A number beyond its integer type where C md reports that (`ERANGE`).
    TooLarge,
    /// A number outside what the attribute accepts (`EINVAL`).
    OutOfRange,
    /// A text longer than the attribute holds, or an empty one (`EINVAL`).
    BadLength,
    /// A character that cannot be printed back (`EINVAL`).
    BadCharacter,
    /// An array name as long as a disk name may not be (`E2BIG`).
    NameTooLong,
    /// An array name that is neither `md_NAME` nor `mdN` (`EINVAL`).
    BadArrayName,
    /// A metadata version nobody implements (`ENOENT`).
    NoSuchMetadata,
    /// A bitmap kind nobody implements (`ENOENT`).
    NoSuchBitmap,
    /// A major or minor number that does not fit a device number (`EOVERFLOW`).
    DeviceOverflow,
    /// A slot beyond any array (`ENOSPC`).
    SlotOverflow,
    /// A bitmap chunk too large for its superblock (`EOVERFLOW`).
    ChunkOverflow,
    /// Bitmaps in a file cannot be set by name (`EINVAL`).
    FileUnsupported,
}

impl WordError {
    /// The error of an attribute that answers `EINVAL` for every malformed number.
    pub(crate) const fn invalid(self) -> Self {
        match self {
            Self::TooLarge => Self::OutOfRange,
            other => other,
        }
    }
}

impl fmt::Display for WordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownWord => "the word is not known to this attribute",
            Self::ReadOnlyWord => "the word can be read but not written",
            Self::NotANumber => "a number is expected",
            Self::TooLarge => "the number does not fit its type",
            Self::OutOfRange => "the number is outside the accepted range",
            Self::BadLength => "the text is empty or too long",
            Self::BadCharacter => "the text has a character that is not printable ASCII",
            Self::NameTooLong => "the array name is too long",
            Self::BadArrayName => "an array is named md_NAME or mdN",
            Self::NoSuchMetadata => "the metadata version is not supported",
            Self::NoSuchBitmap => "the bitmap kind is not supported",
            Self::DeviceOverflow => "the device number is out of range",
            Self::SlotOverflow => "the slot is beyond any array",
            Self::ChunkOverflow => "the bitmap chunk is too large",
            Self::FileUnsupported => "a bitmap file cannot be set here",
        })
    }
}

/// The text of one written line: what stands before the first NUL, without one trailing newline.
pub fn line(written: &[u8]) -> &[u8] {
    let end = written
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(written.len());
    let text = written.get(..end).unwrap_or(written);
    text.strip_suffix(b"\n").unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_newline_and_what_follows_a_nul_are_dropped() {
        assert_eq!(line(b"idle"), b"idle");
        assert_eq!(line(b"idle\n"), b"idle");
        assert_eq!(line(b"idle\n\n"), b"idle\n");
        assert_eq!(line(b"idle\n\0junk"), b"idle");
        assert_eq!(line(b""), b"");
    }
}
