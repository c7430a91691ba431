// SPDX-License-Identifier: GPL-2.0

//! The attributes every array has: `/sys/block/mdX/md/` but for the sync, bitmap and personality groups.

use core::fmt;

use super::name::ShortText;
use super::number::{leading, parse_kib, parse_positive_int, parse_scaled, parse_u32, parse_u64};
use super::number::{Decimals, Radix};
use super::{line, WordError};
use crate::format::ident::Uuid;
use crate::units::{Sectors, SECTOR_SHIFT};

word_list! {
    /// `array_state` as it reads.
    pub enum ArrayState {
        /// Nothing configured.
        Clear = "clear",
        /// Configured in part, not running.
        Inactive = "inactive",
        /// Known to the interface, never used.
        Suspended = "suspended",
        /// Running, refuses writes.
        Readonly = "readonly",
        /// Running, turns writable at the first write.
        ReadAuto = "read-auto",
        /// Running, nothing unwritten.
        Clean = "clean",
        /// Running, maybe being written.
        Active = "active",
        /// Writes wait for the dirty state to be recorded.
        WritePending = "write-pending",
        /// Dirty, but idle for a while.
        ActiveIdle = "active-idle",
        /// Failed beyond its redundancy.
        Broken = "broken",
    }
}

/// What may be written to `array_state`. What it leads to is decided by [`crate::state::array`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArrayStateRequest {
    /// Stop and forget everything.
    Clear,
    /// Stop, keep members and settings.
    Inactive,
    /// Start, or become, read-only.
    Readonly,
    /// Start, or become, read-only until the first write.
    ReadAuto,
    /// Mark a running array clean.
    Clean,
    /// Start, or leave read-only, or let pending writes go.
    Active,
}

impl ArrayStateRequest {
    /// Reads a request.
    ///
    /// # Errors
    ///
    /// [`WordError::UnknownWord`]; [`WordError::ReadOnlyWord`] for a state that cannot be asked for. Both `EINVAL`.
    pub fn parse(written: &[u8]) -> Result<Self, WordError> {
        match ArrayState::parse(written)? {
            ArrayState::Clear => Ok(Self::Clear),
            ArrayState::Inactive => Ok(Self::Inactive),
            ArrayState::Readonly => Ok(Self::Readonly),
            ArrayState::ReadAuto => Ok(Self::ReadAuto),
            ArrayState::Clean => Ok(Self::Clean),
            ArrayState::Active => Ok(Self::Active),
            ArrayState::Suspended
            | ArrayState::WritePending
            | ArrayState::ActiveIdle
            | ArrayState::Broken => Err(WordError::ReadOnlyWord),
        }
    }
}

word_list! {
    /// `consistency_policy`: how a crash is repaired. Only `ppl` and `resync` may be written, to raid5.
    pub enum ConsistencyPolicy {
        /// By a write journal.
        Journal = "journal",
        /// By the partial parity log.
        Ppl = "ppl",
        /// By resync of what a bitmap names.
        Bitmap = "bitmap",
        /// By resync of everything.
        Resync = "resync",
        /// Not at all: the level has no redundancy.
        None = "none",
        /// Not known while the array does not run.
        Unknown = "unknown",
    }
}

word_list! {
    /// `reshape_direction`.
    pub enum ReshapeDirection {
        /// From the first sector up.
        Forwards = "forwards",
        /// From the last sector down.
        Backwards = "backwards",
    }
}

/// Room for the name of an external metadata type.
///
/// C md keeps 16 characters and cuts the rest off; members of a container named `md_NAME` need more.
pub const METADATA_TYPE_LEN: usize = 47;

/// `metadata_version`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetadataVersion {
    /// No metadata at all: `none`.
    None,
    /// Kept by a program: `external:TYPE`. The type may be empty.
    External(Option<ShortText<METADATA_TYPE_LEN>>),
    /// Version 0.90, or, as C md admits too, any minor number of format 0.
    V0 {
        /// 90.
        minor: u32,
    },
    /// Version 1.0, 1.1, 1.2; whether the minor number exists is found out by reading a superblock.
    V1 {
        /// 0 at the end of a member, 1 at its start, 2 at 4 KiB.
        minor: u32,
    },
}

impl MetadataVersion {
    /// Reads `none`, `external:TYPE` or `M.m`.
    ///
    /// # Errors
    ///
    /// [`WordError::NotANumber`], [`WordError::OutOfRange`], [`WordError::BadLength`], [`WordError::BadCharacter`]
    /// (`EINVAL`); [`WordError::NoSuchMetadata`] (`ENOENT`) for a major number above 1.
    pub fn parse(written: &[u8]) -> Result<Self, WordError> {
        let text = line(written);
        if text == b"none" {
            return Ok(Self::None);
        }
        match text.strip_prefix(b"external:") {
            Some(b"") => Ok(Self::External(None)),
            Some(kind) => ShortText::new(kind).map(|kind| Self::External(Some(kind))),
            None => Self::parse_numbers(text),
        }
    }

    fn parse_numbers(text: &[u8]) -> Result<Self, WordError> {
        let part = |text| leading(text, Radix::Decimal).map_err(WordError::invalid);
        let (major, rest) = part(text)?;
        let (minor, rest) = part(rest.strip_prefix(b".").ok_or(WordError::NotANumber)?)?;
        if !rest.is_empty() {
            return Err(WordError::NotANumber);
        }
        // It is an `int` in the ioctls.
        let minor = u32::try_from(minor)
            .ok()
            .filter(|minor| i32::try_from(*minor).is_ok());
        match (major, minor) {
            (0, Some(minor)) => Ok(Self::V0 { minor }),
            (1, Some(minor)) => Ok(Self::V1 { minor }),
            (0 | 1, None) => Err(WordError::OutOfRange),
            _ => Err(WordError::NoSuchMetadata),
        }
    }
}

impl fmt::Display for MetadataVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::External(None) => f.write_str("external:"),
            Self::External(Some(kind)) => write!(f, "external:{kind}"),
            Self::V0 { minor } => write!(f, "0.{minor}"),
            Self::V1 { minor } => write!(f, "1.{minor}"),
        }
    }
}

/// `safe_mode_delay`: how long an array must be idle before it is marked clean, in milliseconds; 0 turns it off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SafeModeDelay(u32);

impl SafeModeDelay {
    /// 200 ms, what an array starts with.
    pub const DEFAULT: Self = Self(200);
    /// No delay: nothing becomes clean by itself.
    pub const OFF: Self = Self(0);
    /// The most that can be set. C md's limit is `UINT_MAX / HZ`; this is it for the largest `HZ`.
    pub const MAX_MS: u32 = u32::MAX / 1000;

    /// Milliseconds, at most [`Self::MAX_MS`].
    pub const fn ms(self) -> u32 {
        self.0
    }

    /// Reads seconds with up to three decimals.
    ///
    /// # Errors
    ///
    /// [`WordError::NotANumber`], [`WordError::OutOfRange`], both `EINVAL`.
    pub fn parse(written: &[u8]) -> Result<Self, WordError> {
        match u32::try_from(parse_scaled(written, Decimals::Three)?) {
            Ok(ms) if ms <= Self::MAX_MS => Ok(Self(ms)),
            _ => Err(WordError::OutOfRange),
        }
    }
}

impl fmt::Display for SafeModeDelay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1000, self.0 % 1000)
    }
}

/// `array_size`: the size presented to users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArraySize {
    /// All the personality offers.
    Default,
    /// Cut down to this.
    Fixed(Sectors),
}

impl ArraySize {
    /// Reads `default` or a number of KiB.
    ///
    /// # Errors
    ///
    /// [`WordError::NotANumber`], [`WordError::OutOfRange`], both `EINVAL`.
    pub fn parse(written: &[u8]) -> Result<Self, WordError> {
        if line(written) == b"default" {
            return Ok(Self::Default);
        }
        parse_kib(written).map(Self::Fixed)
    }
}

impl fmt::Display for ArraySize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Fixed(size) => size.to_kib().fmt(f),
        }
    }
}

/// The largest number of slots an array can be given; roles from 0xff00 up mean something else on disk.
pub const RAID_DISKS_MAX: u16 = 0xff00;

/// `raid_disks`: the number of slots.
///
/// # Errors
///
/// [`WordError::NotANumber`], [`WordError::OutOfRange`] above [`RAID_DISKS_MAX`] (`EINVAL`),
/// [`WordError::TooLarge`] (`ERANGE`).
pub fn parse_raid_disks(written: &[u8]) -> Result<u16, WordError> {
    match u16::try_from(parse_u32(written, Radix::Decimal)?) {
        Ok(slots) if slots <= RAID_DISKS_MAX => Ok(slots),
        _ => Err(WordError::OutOfRange),
    }
}

/// `layout`: the number that, with the level, says how data is spread.
///
/// # Errors
///
/// [`WordError::NotANumber`], [`WordError::OutOfRange`] (`EINVAL`), [`WordError::TooLarge`] (`ERANGE`).
pub fn parse_layout(written: &[u8]) -> Result<i32, WordError> {
    parse_positive_int(written)
}

/// `new_level`: the level an external reshape leads to.
///
/// # Errors
///
/// [`WordError::NotANumber`], [`WordError::OutOfRange`] (`EINVAL`), [`WordError::TooLarge`] (`ERANGE`).
pub fn parse_new_level(written: &[u8]) -> Result<i32, WordError> {
    parse_positive_int(written)
}

/// `max_read_errors`: how many corrected read errors a member may have before it is failed.
///
/// # Errors
///
/// [`WordError::NotANumber`], [`WordError::OutOfRange`] (`EINVAL`), [`WordError::TooLarge`] (`ERANGE`).
pub fn parse_max_read_errors(written: &[u8]) -> Result<u32, WordError> {
    parse_positive_int(written).map(i32::unsigned_abs)
}

/// A chunk size as it reads and is written, in bytes (`chunk_size`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkBytes(u32);

impl ChunkBytes {
    /// The chunk of `sectors`, or `None` when its bytes do not fit an `int`, as the interface wants.
    pub fn from_sectors(sectors: Sectors) -> Option<Self> {
        let bytes = u32::try_from(sectors.to_bytes()?).ok()?;
        i32::try_from(bytes).ok().map(|_| Self(bytes))
    }

    /// The length in sectors.
    pub fn sectors(self) -> Sectors {
        Sectors::new(u64::from(self.0 >> SECTOR_SHIFT))
    }

    /// Reads bytes. C md drops what is not a whole sector; here it is refused. 0 is "no chunks".
    ///
    /// # Errors
    ///
    /// [`WordError::NotANumber`], [`WordError::OutOfRange`] (`EINVAL`), [`WordError::TooLarge`] (`ERANGE`).
    pub fn parse(written: &[u8]) -> Result<Self, WordError> {
        let bytes = parse_u64(written, Radix::Decimal)?;
        Sectors::from_bytes_exact(bytes)
            .and_then(Self::from_sectors)
            .ok_or(WordError::OutOfRange)
    }
}

impl fmt::Display for ChunkBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The uuid of an array as `md/uuid` prints it: the bytes in order, 8-4-4-4-12 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UuidText(pub Uuid);

impl fmt::Display for UuidText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, byte) in self.0.bytes().iter().enumerate() {
            if matches!(position, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// `serialize_policy`, which only raid1 has: `n/a` elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SerializePolicy {
    /// Not a running raid1.
    NotApplicable,
    /// Overlapping writes are not serialized.
    Off,
    /// Overlapping writes wait for each other on every member.
    On,
}

impl fmt::Display for SerializePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotApplicable => "n/a",
            Self::Off => "0",
            Self::On => "1",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_states_can_be_asked_for() {
        let asked =
            |state: &&ArrayState| ArrayStateRequest::parse(state.as_str().as_bytes()).is_ok();
        assert_eq!(ArrayState::ALL.iter().filter(asked).count(), 6);
        assert_eq!(
            ArrayStateRequest::parse(b"broken"),
            Err(WordError::ReadOnlyWord)
        );
        assert_eq!(
            ArrayStateRequest::parse(b"read-auto\n"),
            Ok(ArrayStateRequest::ReadAuto)
        );
        assert_eq!(ArrayStateRequest::parse(b""), Err(WordError::UnknownWord));
    }

    #[test]
    fn metadata_versions() {
        for text in [
            "none",
            "external:imsm",
            "external:/md127/0",
            "external:",
            "0.90",
            "1.2",
        ] {
            let parsed = MetadataVersion::parse(text.as_bytes()).expect("a metadata version");
            assert_eq!(parsed.to_string(), text);
        }
        for (text, want) in [
            (&b"2.0"[..], WordError::NoSuchMetadata),
            (b"1", WordError::NotANumber),
            (b"1.", WordError::NotANumber),
            (b".2", WordError::NotANumber),
            (b"1.2.3", WordError::NotANumber),
            (b"1.4294967296", WordError::OutOfRange),
            (b"external:a b", WordError::BadCharacter),
            (
                &[b"external:".as_slice(), [b'a'; 48].as_slice()].concat(),
                WordError::BadLength,
            ),
            (b"nonesuch", WordError::NotANumber),
        ] {
            assert_eq!(MetadataVersion::parse(text), Err(want), "{text:?}");
        }
    }

    #[test]
    fn safe_mode_delay_is_fixed_point() {
        assert_eq!(SafeModeDelay::parse(b"0.2\n"), Ok(SafeModeDelay::DEFAULT));
        assert_eq!(SafeModeDelay::DEFAULT.to_string(), "0.200");
        assert_eq!(SafeModeDelay::parse(b"."), Err(WordError::NotANumber));
        assert_eq!(
            SafeModeDelay::parse(b"4294.968"),
            Err(WordError::OutOfRange)
        );
        assert_eq!(
            SafeModeDelay::parse(b"4294.967").map(SafeModeDelay::ms),
            Ok(4_294_967)
        );
    }

    #[test]
    fn slots_stay_below_the_special_roles() {
        assert_eq!(parse_raid_disks(b"4\n"), Ok(4));
        assert_eq!(parse_raid_disks(b"65280"), Ok(RAID_DISKS_MAX));
        for text in [&b"65281"[..], b"2147483648", b"4294967295"] {
            assert_eq!(
                parse_raid_disks(text),
                Err(WordError::OutOfRange),
                "{text:?}"
            );
        }
        assert_eq!(parse_raid_disks(b"4294967296"), Err(WordError::TooLarge));
    }

    #[test]
    fn chunks_are_whole_sectors() {
        assert_eq!(
            ChunkBytes::parse(b"65536").map(ChunkBytes::sectors),
            Ok(Sectors::new(128))
        );
        assert_eq!(ChunkBytes::parse(b"1000"), Err(WordError::OutOfRange));
        assert_eq!(ChunkBytes::parse(b"2147483648"), Err(WordError::OutOfRange));
        assert_eq!(
            ChunkBytes::parse(b"0")
                .map(|chunk| chunk.to_string())
                .as_deref(),
            Ok("0")
        );
    }

    #[test]
    fn only_a_mirror_has_a_serialize_policy() {
        let words = [
            (SerializePolicy::NotApplicable, "n/a"),
            (SerializePolicy::Off, "0"),
            (SerializePolicy::On, "1"),
        ];
        for (policy, word) in words {
            assert_eq!(policy.to_string(), word);
        }
        assert_eq!(SafeModeDelay::OFF.to_string(), "0.000");
    }

    #[test]
    fn uuids_keep_byte_order() {
        let uuid = core::array::from_fn(|i| u8::try_from(i * 17).unwrap_or(0));
        assert_eq!(
            UuidText(Uuid::new(uuid)).to_string(),
            "00112233-4455-6677-8899-aabbccddeeff"
        );
    }
}
