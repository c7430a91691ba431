// SPDX-License-Identifier: GPL-2.0

//! The attributes of bitmaps: `md/bitmap_type`, `md/bitmap/` and `md/llbitmap/`.

use core::fmt;
use core::num::{NonZeroI64, NonZeroU32, NonZeroU64};

use super::number::{parse_i32, parse_i64, parse_scaled, parse_u64, Decimals, Radix};
use super::{line, WordError};
use crate::units::Sectors;

word_list! {
    /// A bitmap backend, in the order `bitmap_type` lists them.
    pub enum BitmapKind {
        /// No bitmap.
        None = "none",
        /// The classic one.
        Bitmap = "bitmap",
        /// The lockless one.
        Llbitmap = "llbitmap",
    }
}

impl BitmapKind {
    /// The number that also names it (`enum md_submodule_id`).
    pub const fn number(self) -> i32 {
        match self {
            Self::Bitmap => 12,
            Self::Llbitmap => 13,
            Self::None => 14,
        }
    }

    /// Reads `bitmap_type`: a name or a number.
    ///
    /// # Errors
    ///
    /// [`WordError::NotANumber`] (`EINVAL`), [`WordError::TooLarge`] (`ERANGE`), [`WordError::NoSuchBitmap`]
    /// (`ENOENT`) for a number that names none.
    pub fn parse_name_or_number(written: &[u8]) -> Result<Self, WordError> {
        Self::parse(written).or_else(|_| {
            let number = parse_i32(written, Radix::Decimal)?;
            let mut kinds = Self::ALL.iter().copied();
            kinds
                .find(|kind| kind.number() == number)
                .ok_or(WordError::NoSuchBitmap)
        })
    }

    /// What `bitmap_type` reads as: all names, this one in brackets, a blank behind each.
    pub const fn choice(self) -> BitmapChoice {
        BitmapChoice(self)
    }
}

/// `none [bitmap] llbitmap `, as `bitmap_type` reads.
#[derive(Clone, Copy, Debug)]
pub struct BitmapChoice(BitmapKind);

impl fmt::Display for BitmapChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for kind in BitmapKind::ALL {
            if *kind == self.0 {
                write!(f, "[{kind}] ")?;
            } else {
                write!(f, "{kind} ")?;
            }
        }
        Ok(())
    }
}

/// `bitmap/location` as it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BitmapLocation {
    /// There is no bitmap.
    None,
    /// In a file.
    File,
    /// So many sectors from the superblock: `+8`, `-16`.
    At(NonZeroI64),
}

impl fmt::Display for BitmapLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::File => f.write_str("file"),
            Self::At(offset) => write!(f, "{offset:+}"),
        }
    }
}

/// What may be written to `bitmap/location`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocationRequest {
    /// Remove the bitmap.
    None,
    /// Make a classic bitmap so many sectors from the superblock.
    At(NonZeroI64),
}

impl LocationRequest {
    /// Reads `none` or a signed offset. (C md also reads `+-8`, as -8.)
    ///
    /// # Errors
    ///
    /// [`WordError::FileUnsupported`], [`WordError::NotANumber`], [`WordError::OutOfRange`] for 0 (`EINVAL`);
    /// [`WordError::TooLarge`] (`ERANGE`).
    pub fn parse(written: &[u8]) -> Result<Self, WordError> {
        let text = line(written);
        if text == b"none" {
            return Ok(Self::None);
        }
        if text.starts_with(b"file:") {
            return Err(WordError::FileUnsupported);
        }
        let offset = parse_i64(text, Radix::Decimal)?;
        NonZeroI64::new(offset)
            .map(Self::At)
            .ok_or(WordError::OutOfRange)
    }
}

/// `bitmap/time_base`: the pause between two cleanings, in milliseconds, at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeBase(NonZeroU64);

impl TimeBase {
    /// 5 s.
    pub const DEFAULT: Self = Self::from_seconds(5);

    /// A pause of whole seconds, as superblocks store it; 0 becomes the shortest there is.
    pub const fn from_seconds(seconds: u32) -> Self {
        // Widening; `From` is not const.
        Self::from_ms(seconds as u64 * 1000)
    }

    /// A pause of so many milliseconds; 0 becomes the shortest there is.
    pub const fn from_ms(ms: u64) -> Self {
        match NonZeroU64::new(ms) {
            Some(ms) => Self(ms),
            None => Self(NonZeroU64::MIN),
        }
    }

    /// Milliseconds.
    pub const fn ms(self) -> u64 {
        self.0.get()
    }

    /// The seconds a superblock stores. A superblock with 0 would not be accepted at the next assembly, so a shorter
    /// pause is recorded as one second.
    pub fn to_stored_seconds(self) -> u32 {
        u32::try_from(self.ms() / 1000).unwrap_or(u32::MAX).max(1)
    }

    /// Reads seconds with up to four decimals. 0 is taken as the shortest pause there is.
    ///
    /// # Errors
    ///
    /// [`WordError::NotANumber`], [`WordError::OutOfRange`] beyond 32 bits of seconds, both `EINVAL`.
    pub fn parse(written: &[u8]) -> Result<Self, WordError> {
        let ms = parse_scaled(written, Decimals::Four)? / 10;
        if u32::try_from(ms / 1000).is_err() {
            return Err(WordError::OutOfRange);
        }
        Ok(Self(NonZeroU64::new(ms).unwrap_or(NonZeroU64::MIN)))
    }
}

impl fmt::Display for TimeBase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.ms() / 1000, self.ms() % 1000) {
            (seconds, 0) => seconds.fmt(f),
            (seconds, ms) => write!(f, "{seconds}.{ms:03}"),
        }
    }
}

/// `llbitmap/daemon_sleep` and `llbitmap/barrier_idle`: whole seconds.
///
/// C md takes any number; 0 and what does not fit the superblock make an array that cannot be assembled again.
///
/// # Errors
///
/// [`WordError::NotANumber`], [`WordError::OutOfRange`] for 0 and beyond 32 bits (`EINVAL`), [`WordError::TooLarge`]
/// (`ERANGE`) beyond 64 bits.
pub fn parse_seconds(written: &[u8]) -> Result<NonZeroU32, WordError> {
    let seconds =
        u32::try_from(parse_u64(written, Radix::Decimal)?).map_err(|_| WordError::OutOfRange)?;
    NonZeroU32::new(seconds).ok_or(WordError::OutOfRange)
}

/// `bitmap/space`: the room for the bitmap.
///
/// # Errors
///
/// [`WordError::NotANumber`], [`WordError::OutOfRange`] for 0 (`EINVAL`), [`WordError::TooLarge`] (`ERANGE`).
pub fn parse_space(written: &[u8]) -> Result<Sectors, WordError> {
    match parse_u64(written, Radix::Decimal)? {
        0 => Err(WordError::OutOfRange),
        sectors => Ok(Sectors::new(sectors)),
    }
}

/// The most writes that may be behind at a time (`COUNTER_MAX`): more do not fit a classic counter.
pub const BACKLOG_MAX: u32 = 16383;

/// `bitmap/backlog`: how many writes to write-mostly members may be behind; 0 is none.
///
/// # Errors
///
/// [`WordError::NotANumber`], [`WordError::OutOfRange`] above [`BACKLOG_MAX`] (`EINVAL`), [`WordError::TooLarge`]
/// (`ERANGE`).
pub fn parse_backlog(written: &[u8]) -> Result<u32, WordError> {
    match u32::try_from(parse_u64(written, Radix::Decimal)?) {
        Ok(backlog) if backlog <= BACKLOG_MAX => Ok(backlog),
        _ => Err(WordError::OutOfRange),
    }
}

/// `bitmap/chunksize` in bytes: a power of two, at least 512, that fits the superblock's 32 bits.
///
/// # Errors
///
/// [`WordError::NotANumber`], [`WordError::OutOfRange`] (`EINVAL`), [`WordError::TooLarge`] (`ERANGE`),
/// [`WordError::ChunkOverflow`] (`EOVERFLOW`).
pub fn parse_chunksize(written: &[u8]) -> Result<u32, WordError> {
    let bytes = parse_u64(written, Radix::Decimal)?;
    if bytes < 512 || !bytes.is_power_of_two() {
        return Err(WordError::OutOfRange);
    }
    u32::try_from(bytes).map_err(|_| WordError::ChunkOverflow)
}

word_list! {
    /// `bitmap/metadata`: who keeps the bitmap's superblock.
    pub enum BitmapMetadata {
        /// The driver.
        Internal = "internal",
        /// A program.
        External = "external",
        /// The driver, one per node. Written, it is the same as `internal`.
        Clustered = "clustered",
    }
}

word_list! {
    /// `bitmap/can_clear`: whether bits may be cleared, for external metadata.
    pub enum CanClear {
        /// They may.
        True = "true",
        /// They may not.
        False = "false",
    }
}

/// `llbitmap/bits`: how many chunks are in each state, in the order of the state numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LlbitmapBits {
    /// Chunks by state number.
    pub chunks: [u64; 8],
}

/// The states as `llbitmap/bits` calls them, by number.
const LLBITMAP_STATES: [&str; 8] = [
    "unwritten",
    "clean",
    "dirty",
    "need sync",
    "syncing",
    "need sync unwritten",
    "syncing unwritten",
    "clean unwritten",
];

impl fmt::Display for LlbitmapBits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (state, count) in LLBITMAP_STATES.iter().zip(self.chunks) {
            write!(f, "{separator}{state} {count}")?;
            separator = "\n";
        }
        Ok(())
    }
}

/// `llbitmap/metadata`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LlbitmapMetadata {
    /// Length of a chunk.
    pub chunksize: Sectors,
    /// Its `log2`, in sectors.
    pub chunkshift: u32,
    /// How many there are.
    pub chunks: u64,
    /// Where the bitmap lies, in sectors from the superblock.
    pub offset: i64,
    /// Seconds between two cleanings.
    pub daemon_sleep: u32,
}

impl fmt::Display for LlbitmapMetadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            chunksize,
            chunkshift,
            chunks,
            offset,
            daemon_sleep,
        } = self;
        write!(
            f,
            "chunksize {chunksize}\nchunkshift {chunkshift}\nchunks {chunks}\n"
        )?;
        write!(f, "offset {offset}\ndaemon_sleep {daemon_sleep}")
    }
}

/// What `llbitmap/bits` and `llbitmap/metadata` read as without a bitmap.
pub const NO_LLBITMAP: &str = "no bitmap";
/// What `llbitmap/bits` reads as after the bitmap could not be written.
pub const LLBITMAP_IO_ERROR: &str = "bitmap io error";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_go_by_name_or_number() {
        let parse = BitmapKind::parse_name_or_number;
        assert_eq!(
            BitmapKind::Bitmap.choice().to_string(),
            "none [bitmap] llbitmap "
        );
        assert_eq!(
            BitmapKind::None.choice().to_string(),
            "[none] bitmap llbitmap "
        );
        for kind in BitmapKind::ALL {
            assert_eq!(parse(kind.as_str().as_bytes()), Ok(*kind));
            assert_eq!(parse(kind.number().to_string().as_bytes()), Ok(*kind));
        }
        assert_eq!(parse(b"11"), Err(WordError::NoSuchBitmap));
        assert_eq!(parse(b"lockless"), Err(WordError::NotANumber));
        assert_eq!(parse(b"2147483648"), Err(WordError::TooLarge));
    }

    #[test]
    fn locations() {
        let at = |offset| {
            NonZeroI64::new(offset)
                .map(LocationRequest::At)
                .ok_or(WordError::OutOfRange)
        };
        assert_eq!(LocationRequest::parse(b"none\n"), Ok(LocationRequest::None));
        assert_eq!(LocationRequest::parse(b"+8\n"), at(8));
        assert_eq!(LocationRequest::parse(b"8"), at(8));
        assert_eq!(LocationRequest::parse(b"-16"), at(-16));
        assert_eq!(LocationRequest::parse(b"0"), Err(WordError::OutOfRange));
        assert_eq!(LocationRequest::parse(b"+-8"), Err(WordError::NotANumber));
        assert_eq!(
            LocationRequest::parse(b"file:/b"),
            Err(WordError::FileUnsupported)
        );
        let shown = NonZeroI64::new(-16).map(|offset| BitmapLocation::At(offset).to_string());
        assert_eq!(shown.as_deref(), Some("-16"));
    }

    #[test]
    fn time_base_has_a_shortest_pause() {
        let parse = |text: &[u8]| TimeBase::parse(text).map(|time| time.to_string());
        assert_eq!(parse(b"5\n").as_deref(), Ok("5"));
        assert_eq!(parse(b"0.25").as_deref(), Ok("0.250"));
        assert_eq!(parse(b"0").as_deref(), Ok("0.001"));
        assert_eq!(parse(b"."), Err(WordError::NotANumber));
        assert_eq!(parse(b"4294967296"), Err(WordError::OutOfRange));
        assert_eq!(
            TimeBase::parse(b"0.5").map(TimeBase::to_stored_seconds),
            Ok(1)
        );
        assert_eq!(TimeBase::DEFAULT.to_stored_seconds(), 5);
    }

    #[test]
    fn numbers_have_limits() {
        assert_eq!(parse_seconds(b"0"), Err(WordError::OutOfRange));
        assert_eq!(
            parse_seconds(b"18446744073709551615"),
            Err(WordError::OutOfRange)
        );
        assert_eq!(parse_backlog(b"16383"), Ok(BACKLOG_MAX));
        assert_eq!(parse_backlog(b"16384"), Err(WordError::OutOfRange));
        assert_eq!(parse_chunksize(b"65536"), Ok(65536));
        assert_eq!(parse_chunksize(b"256"), Err(WordError::OutOfRange));
        assert_eq!(parse_chunksize(b"1000"), Err(WordError::OutOfRange));
        assert_eq!(
            parse_chunksize(b"4294967296"),
            Err(WordError::ChunkOverflow)
        );
        assert_eq!(parse_space(b"0"), Err(WordError::OutOfRange));
    }

    #[test]
    fn llbitmap_texts() {
        let bits = LlbitmapBits {
            chunks: [1, 2, 3, 4, 5, 6, 7, 8],
        };
        assert_eq!(
            bits.to_string(),
            "unwritten 1\nclean 2\ndirty 3\nneed sync 4\nsyncing 5\nneed sync unwritten 6\nsyncing unwritten 7\n\
             clean unwritten 8"
        );
        let metadata = LlbitmapMetadata {
            chunksize: Sectors::new(128),
            chunkshift: 7,
            chunks: 1024,
            offset: 8,
            daemon_sleep: 5,
        };
        assert_eq!(
            metadata.to_string(),
            "chunksize 128\nchunkshift 7\nchunks 1024\noffset 8\ndaemon_sleep 5"
        );
    }
}
