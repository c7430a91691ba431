// SPDX-License-Identifier: GPL-2.0

//! The attributes of one member: `/sys/block/mdX/md/dev-X/`.

use core::fmt;

use super::number::{leading, parse_u32, Radix};
use super::{line, WordError};
use crate::units::{Sector, SectorRange, Sectors, Slot};

word_list! {
    /// A property of a member in the comma-separated list of `state`, in the order of the list.
    pub enum MemberFlag {
        /// Failed.
        Faulty = "faulty",
        /// Holds current data.
        InSync = "in_sync",
        /// The write journal.
        Journal = "journal",
        /// Read only when nothing else can be.
        WriteMostly = "write_mostly",
        /// Writes wait for user space.
        Blocked = "blocked",
        /// Neither failed, nor in sync, nor a journal. Shown, never kept.
        Spare = "spare",
        /// A write has failed on it.
        WriteError = "write_error",
        /// To be replaced when a spare is there.
        WantReplacement = "want_replacement",
        /// Takes the place of another member.
        Replacement = "replacement",
        /// User space keeps its bad blocks.
        ExternalBbl = "external_bbl",
        /// Errors are not to be retried by the device.
        FailFast = "failfast",
    }
}

impl MemberFlag {
    const fn bit(self) -> u16 {
        match self {
            Self::Faulty => 1,
            Self::InSync => 1 << 1,
            Self::Journal => 1 << 2,
            Self::WriteMostly => 1 << 3,
            Self::Blocked => 1 << 4,
            Self::Spare => 1 << 5,
            Self::WriteError => 1 << 6,
            Self::WantReplacement => 1 << 7,
            Self::Replacement => 1 << 8,
            Self::ExternalBbl => 1 << 9,
            Self::FailFast => 1 << 10,
        }
    }
}

/// Whether a member has bad blocks that are not recorded in its metadata yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnackedBadBlocks {
    /// All are recorded.
    None,
    /// Some are not.
    Some,
}

/// A set of [`MemberFlag`]s. It prints as the comma list of `state`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemberFlags(u16);

impl MemberFlags {
    /// No flag.
    pub const NONE: Self = Self(0);

    /// The set with `flag` in it.
    #[must_use]
    pub const fn with(self, flag: MemberFlag) -> Self {
        Self(self.0 | flag.bit())
    }

    /// The set without `flag`.
    #[must_use]
    pub const fn without(self, flag: MemberFlag) -> Self {
        Self(self.0 & !flag.bit())
    }

    /// Whether `flag` is in the set.
    pub const fn has(self, flag: MemberFlag) -> bool {
        self.0 & flag.bit() != 0
    }

    /// What `state` shows for a member with these properties.
    ///
    /// A member with unrecorded bad blocks shows as `blocked`, and as `faulty` too where user space keeps the metadata
    /// without knowing of bad blocks: failing the member is all such a program can do.
    #[must_use]
    pub const fn shown(self, unacked: UnackedBadBlocks) -> Self {
        let mut shown = self;
        if matches!(unacked, UnackedBadBlocks::Some) {
            if !self.has(MemberFlag::ExternalBbl) {
                shown = shown.with(MemberFlag::Faulty);
            }
            if !self.has(MemberFlag::Faulty) {
                shown = shown.with(MemberFlag::Blocked);
            }
        }
        let used = self.has(MemberFlag::Faulty)
            || self.has(MemberFlag::Journal)
            || self.has(MemberFlag::InSync);
        if used {
            shown.without(MemberFlag::Spare)
        } else {
            shown.with(MemberFlag::Spare)
        }
    }
}

impl fmt::Display for MemberFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for flag in MemberFlag::ALL.iter().filter(|flag| self.has(**flag)) {
            write!(f, "{separator}{flag}")?;
            separator = ",";
        }
        Ok(())
    }
}

word_list! {
    /// What may be written to `state`.
    pub enum MemberCommand {
        /// Fail the member. `EBUSY` when the array would be lost.
        Faulty = "faulty",
        /// Take it out of the array. `EBUSY` while it has a slot.
        Remove = "remove",
        /// Read it only when nothing else can be.
        WriteMostly = "writemostly",
        /// Read it like any other.
        NotWriteMostly = "-writemostly",
        /// Hold writes back.
        Blocked = "blocked",
        /// Let writes go; fails a member whose bad blocks nobody recorded.
        NotBlocked = "-blocked",
        /// Trust its data; only without a slot.
        InSync = "insync",
        /// Give up its slot, to be rebuilt by bitmap; only with a slot, in an array that does not run.
        NotInSync = "-insync",
        /// Treat it as if a write had failed.
        WriteError = "write_error",
        /// Forget failed writes.
        NoWriteError = "-write_error",
        /// Replace it when there is a spare.
        WantReplacement = "want_replacement",
        /// Do not.
        NotWantReplacement = "-want_replacement",
        /// It is a replacement; only before the array runs.
        Replacement = "replacement",
        /// It is not; only before the array runs.
        NotReplacement = "-replacement",
        /// Bring a failed member back to its old slot.
        ReAdd = "re-add",
        /// Ask its device not to retry.
        FailFast = "failfast",
        /// Let its device retry.
        NotFailFast = "-failfast",
        /// User space records its bad blocks; only with external metadata.
        ExternalBbl = "external_bbl",
        /// It does not; only with external metadata.
        NotExternalBbl = "-external_bbl",
    }
}

impl MemberCommand {
    /// Whether the array must be suspended, and not only locked, while the command is carried out.
    pub const fn needs_suspend(self) -> bool {
        matches!(
            self,
            Self::Remove | Self::ReAdd | Self::WriteMostly | Self::NotWriteMostly
        )
    }

    /// Whether the superblocks must be written afterwards.
    pub const fn changes_superblock(self) -> bool {
        matches!(
            self,
            Self::WriteMostly | Self::NotWriteMostly | Self::FailFast | Self::NotFailFast
        )
    }
}

/// `slot` as it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotWord {
    /// None: a spare or a failed member.
    None,
    /// A slot of the array.
    At(Slot),
    /// It is the journal.
    Journal,
}

impl fmt::Display for SlotWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::At(slot) => slot.fmt(f),
            Self::Journal => f.write_str("journal"),
        }
    }
}

/// Reads `slot`: `none`, or a number.
///
/// # Errors
///
/// [`WordError::NotANumber`] (`EINVAL`), [`WordError::SlotOverflow`] (`ENOSPC`) for a number no array has a slot for,
/// [`WordError::TooLarge`] (`ERANGE`) beyond 32 bits.
pub fn parse_slot(written: &[u8]) -> Result<Option<Slot>, WordError> {
    if line(written) == b"none" {
        return Ok(None);
    }
    match u16::try_from(parse_u32(written, Radix::Decimal)?) {
        Ok(slot) if slot < super::array::RAID_DISKS_MAX => Ok(Some(Slot::new(slot))),
        _ => Err(WordError::SlotOverflow),
    }
}

/// `errors`: the count of corrected read errors.
///
/// # Errors
///
/// [`WordError::NotANumber`] (`EINVAL`), [`WordError::TooLarge`] (`ERANGE`).
pub fn parse_errors(written: &[u8]) -> Result<u32, WordError> {
    parse_u32(written, Radix::Decimal)
}

/// One line of `bad_blocks` and `unacknowledged_bad_blocks`: first sector and length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadBlockLine(pub SectorRange);

impl BadBlockLine {
    /// Reads `sector length`.
    ///
    /// C md reads with `sscanf()`: it wraps numbers beyond 64 bits and takes them for other sectors. They are refused.
    ///
    /// # Errors
    ///
    /// [`WordError::NotANumber`]; [`WordError::OutOfRange`] for an empty range, one longer than `INT_MAX`, or one that
    /// reaches beyond 2^64. All `EINVAL`.
    pub fn parse(written: &[u8]) -> Result<Self, WordError> {
        let number = |text| leading(text, Radix::Decimal).map_err(WordError::invalid);
        let (sector, rest) = number(line(written).trim_ascii_start())?;
        let gap = rest.trim_ascii_start();
        if gap.len() == rest.len() {
            return Err(WordError::NotANumber);
        }
        let (length, rest) = number(gap)?;
        if !rest.is_empty() {
            return Err(WordError::NotANumber);
        }
        if i32::try_from(length).is_err() {
            return Err(WordError::OutOfRange);
        }
        SectorRange::new(Sector::new(sector), Sectors::new(length))
            .map(Self)
            .ok_or(WordError::OutOfRange)
    }
}

impl fmt::Display for BadBlockLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0.start(), self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_lists_flags_in_order() {
        let failed = MemberFlags::NONE
            .with(MemberFlag::FailFast)
            .with(MemberFlag::Faulty);
        assert_eq!(
            failed.shown(UnackedBadBlocks::None).to_string(),
            "faulty,failfast"
        );
        assert_eq!(
            MemberFlags::NONE.shown(UnackedBadBlocks::None).to_string(),
            "spare"
        );
        let everything = MemberFlag::ALL
            .iter()
            .fold(MemberFlags::NONE, |flags, flag| flags.with(*flag));
        assert_eq!(
            everything.to_string(),
            "faulty,in_sync,journal,write_mostly,blocked,spare,write_error,want_replacement,replacement,external_bbl,\
             failfast"
        );
    }

    #[test]
    fn unrecorded_bad_blocks_show() {
        let live = MemberFlags::NONE.with(MemberFlag::InSync);
        assert_eq!(
            live.shown(UnackedBadBlocks::Some).to_string(),
            "faulty,in_sync,blocked"
        );
        let external = live.with(MemberFlag::ExternalBbl);
        assert_eq!(
            external.shown(UnackedBadBlocks::Some).to_string(),
            "in_sync,blocked,external_bbl"
        );
        let failed = MemberFlags::NONE.with(MemberFlag::Faulty);
        assert_eq!(failed.shown(UnackedBadBlocks::Some).to_string(), "faulty");
    }

    #[test]
    fn slots() {
        assert_eq!(parse_slot(b"none\n"), Ok(None));
        assert_eq!(parse_slot(b"3"), Ok(Some(Slot::new(3))));
        assert_eq!(parse_slot(b"65280"), Err(WordError::SlotOverflow));
        assert_eq!(parse_slot(b"4294967295"), Err(WordError::SlotOverflow));
        assert_eq!(parse_slot(b"4294967296"), Err(WordError::TooLarge));
        assert_eq!(parse_slot(b"journal"), Err(WordError::NotANumber));
        assert_eq!(SlotWord::At(Slot::new(2)).to_string(), "2");
    }

    #[test]
    fn bad_block_lines() {
        let parse = |text: &[u8]| BadBlockLine::parse(text).map(|line| line.to_string());
        assert_eq!(parse(b"8 16\n").as_deref(), Ok("8 16"));
        assert_eq!(parse(b" 8\t16").as_deref(), Ok("8 16"));
        assert_eq!(parse(b"18446744073709551615 1"), Err(WordError::OutOfRange));
        assert_eq!(parse(b"18446744073709551624 1"), Err(WordError::OutOfRange));
        assert_eq!(parse(b"8 0"), Err(WordError::OutOfRange));
        assert_eq!(parse(b"8 2147483648"), Err(WordError::OutOfRange));
        for text in [&b"8"[..], b"8 ", b"8 1 2", b"8-1", b"8 -1", b"", b"8 1x"] {
            assert_eq!(parse(text), Err(WordError::NotANumber), "{text:?}");
        }
    }

    #[test]
    fn four_commands_suspend() {
        assert_eq!(
            MemberCommand::ALL
                .iter()
                .filter(|command| command.needs_suspend())
                .count(),
            4
        );
        assert_eq!(
            MemberCommand::parse(b"-want_replacement\n"),
            Ok(MemberCommand::NotWantReplacement)
        );
        assert_eq!(MemberCommand::parse(b"spare"), Err(WordError::UnknownWord));
    }
}
