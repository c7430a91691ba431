// SPDX-License-Identifier: GPL-2.0

//! Names of arrays, and the short texts that attributes store and print again.

use core::fmt;

use super::number::{parse_u64, Radix};
use super::WordError;

/// Room for the name of a disk with its final NUL (`DISK_NAME_LEN`).
pub const DISK_NAME_LEN: usize = 32;
/// The largest minor number (`MINORMASK`).
pub const MINOR_MAX: u32 = 0xf_ffff;

/// A text of 1 to `N` printable ASCII characters without blanks.
///
/// # Invariants
///
/// `len <= N`, and the first `len` bytes are ASCII graphic characters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ShortText<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> ShortText<N> {
    /// Keeps `text`.
    ///
    /// # Errors
    ///
    /// [`WordError::BadLength`] when it is empty or longer than `N`, [`WordError::BadCharacter`].
    pub fn new(text: &[u8]) -> Result<Self, WordError> {
        let mut bytes = [0; N];
        let room = bytes.get_mut(..text.len()).ok_or(WordError::BadLength)?;
        if text.is_empty() {
            return Err(WordError::BadLength);
        }
        if !text.iter().all(u8::is_ascii_graphic) {
            return Err(WordError::BadCharacter);
        }
        room.copy_from_slice(text);
        // INVARIANT: both clauses were checked above.
        Ok(Self {
            bytes,
            len: text.len(),
        })
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        // By the type invariants neither fallback is ever used.
        core::str::from_utf8(self.bytes.get(..self.len).unwrap_or_default()).unwrap_or_default()
    }
}

impl<const N: usize> fmt::Display for ShortText<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<const N: usize> fmt::Debug for ShortText<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// What the module parameter `new_array` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArrayName {
    /// `mdN`: the array with this minor number (0 to [`MINOR_MAX`]); its disk is called `mdN` without leading zeros.
    Minor(u32),
    /// `md_NAME`: an array of this name with any free minor number from 512 up.
    Named(ShortText<{ DISK_NAME_LEN - 1 }>),
}

impl ArrayName {
    /// Reads a name; all trailing newlines are dropped.
    ///
    /// C md takes any byte in `md_NAME`; here it must be printable ASCII without `/`, since it becomes a path and a
    /// token of `/proc/mdstat`.
    ///
    /// # Errors
    ///
    /// [`WordError::NameTooLong`] (`E2BIG`), [`WordError::BadArrayName`], [`WordError::BadCharacter`] (`EINVAL`).
    pub fn parse(written: &[u8]) -> Result<Self, WordError> {
        let end = written
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(written.len());
        let mut text = written.get(..end).unwrap_or(written);
        while let Some(shorter) = text.strip_suffix(b"\n") {
            text = shorter;
        }
        if text.len() >= DISK_NAME_LEN {
            return Err(WordError::NameTooLong);
        }
        match text {
            [b'm', b'd', b'_', ..] if text.contains(&b'/') => Err(WordError::BadCharacter),
            [b'm', b'd', b'_', ..] => ShortText::new(text).map(Self::Named),
            [b'm', b'd', digits @ ..] => Self::parse_minor(digits),
            _ => Err(WordError::BadArrayName),
        }
    }

    fn parse_minor(digits: &[u8]) -> Result<Self, WordError> {
        if !digits.first().is_some_and(u8::is_ascii_digit) {
            return Err(WordError::BadArrayName);
        }
        let number = parse_u64(digits, Radix::Decimal).map_err(|_| WordError::BadArrayName)?;
        match u32::try_from(number) {
            Ok(minor) if minor <= MINOR_MAX => Ok(Self::Minor(minor)),
            _ => Err(WordError::BadArrayName),
        }
    }
}

impl fmt::Display for ArrayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Minor(minor) => write!(f, "md{minor}"),
            Self::Named(name) => name.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn array_names() {
        for (text, want) in [
            (&b"md0"[..], Ok("md0")),
            (b"md007\n\n", Ok("md7")),
            (b"md1048575", Ok("md1048575")),
            (b"md1048576", Err(WordError::BadArrayName)),
            (b"md_home", Ok("md_home")),
            (b"md_", Ok("md_")),
            (
                b"md_2345678901234567890123456789a",
                Err(WordError::NameTooLong),
            ),
            (
                b"md_345678901234567890123456789a",
                Ok("md_345678901234567890123456789a"),
            ),
            (b"md_a/b", Err(WordError::BadCharacter)),
            (b"md_a b", Err(WordError::BadCharacter)),
            (b"md+1", Err(WordError::BadArrayName)),
            (b"md", Err(WordError::BadArrayName)),
            (b"md1x", Err(WordError::BadArrayName)),
            (b"sda", Err(WordError::BadArrayName)),
            (b"", Err(WordError::BadArrayName)),
        ] {
            let got = ArrayName::parse(text).map(|name| name.to_string());
            assert_eq!(got, want.map(str::to_string), "{text:?}");
        }
    }
}
