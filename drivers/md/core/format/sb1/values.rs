// SPDX-License-Identifier: GPL-2.0

//! What a 1.x superblock says, as values: read from one by [`Sb1`](super::Sb1), written by [`Update`](super::Update).

use core::num::NonZeroI32;

use crate::format::bits::bit_set;
use crate::format::ident::SbTime;
use crate::format::level::Level;
use crate::format::BlockSize;
use crate::units::{Events, Sector, SectorRange, Sectors, Slot};

/// The feature map, every bit of it known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features(u32);

impl Features {
    /// A bitmap lies `bitmap_offset` sectors from the superblock.
    pub const BITMAP_OFFSET: Self = Self(1);
    /// `recovery_offset` is meant: the member is being rebuilt.
    pub const RECOVERY_OFFSET: Self = Self(2);
    /// The reshape fields are meant.
    pub const RESHAPE_ACTIVE: Self = Self(4);
    /// The bad-block log is not empty.
    pub const BAD_BLOCKS: Self = Self(8);
    /// The member replaces an active one in the same slot.
    pub const REPLACEMENT: Self = Self(16);
    /// The reshape goes backwards although the number of members stays.
    pub const RESHAPE_BACKWARDS: Self = Self(32);
    /// `new_offset` is meant.
    pub const NEW_OFFSET: Self = Self(64);
    /// The rebuild is guided by the bitmap.
    pub const RECOVERY_BITMAP: Self = Self(128);
    /// The array belongs to a cluster.
    pub const CLUSTERED: Self = Self(256);
    /// The array has a journal.
    pub const JOURNAL: Self = Self(512);
    /// A partial parity log, one slot.
    pub const PPL: Self = Self(1024);
    /// A partial parity log used as a ring.
    pub const MULTIPLE_PPLS: Self = Self(2048);
    /// `layout` is meant although the level is raid0.
    pub const RAID0_LAYOUT: Self = Self(4096);
    /// No bit.
    pub const NONE: Self = Self(0);
    /// Every known bit (`MD_FEATURE_ALL`).
    pub const ALL: Self = Self(8191);

    /// The map `raw`, or `Err` with the bits of it that are unknown.
    pub const fn from_raw(raw: u32) -> Result<Self, u32> {
        match raw & !Self::ALL.0 {
            0 => Ok(Self(raw)),
            unknown => Err(unknown),
        }
    }

    /// The bits of both if `condition` holds, else the bits of `self`.
    pub(super) const fn with_if(self, other: Self, condition: bool) -> Self {
        if condition {
            self.with(other)
        } else {
            self
        }
    }
}

bit_set!(Features);

/// What a member is to the array: an entry of the table `dev_roles`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// In the array without a slot (0xffff); also every number the table does not reach.
    Spare,
    /// Failed (0xfffe).
    Faulty,
    /// The write journal (0xfffd).
    Journal,
    /// Fills this slot, below 0xff00.
    Active(Slot),
    /// 0xff00 to 0xfffc: no meaning yet. C md takes it for a slot no array has, hence for a spare.
    Reserved(u16),
}

impl Role {
    const SPARE: u16 = 0xffff;
    const FAULTY: u16 = 0xfffe;
    const JOURNAL: u16 = 0xfffd;
    const RESERVED: u16 = 0xff00;

    /// The role written as `raw`.
    pub const fn from_raw(raw: u16) -> Self {
        match raw {
            Self::SPARE => Self::Spare,
            Self::FAULTY => Self::Faulty,
            Self::JOURNAL => Self::Journal,
            Self::RESERVED.. => Self::Reserved(raw),
            slot => Self::Active(Slot::new(slot)),
        }
    }

    /// The number on disk.
    pub const fn to_raw(self) -> u16 {
        match self {
            Self::Spare => Self::SPARE,
            Self::Faulty => Self::FAULTY,
            Self::Journal => Self::JOURNAL,
            Self::Reserved(raw) => raw,
            Self::Active(slot) => slot.get(),
        }
    }

    /// Whether a member of this role must be as recent as the array: it holds data or the journal.
    pub const fn needs_events(self) -> bool {
        matches!(self, Self::Active(_) | Self::Journal)
    }
}

/// Up to where the array is known to be in sync (`resync_offset`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResyncPoint {
    /// Everywhere: the array is clean.
    Done,
    /// Up to this sector; resync goes on there. Zero after an unclean stop. At most the end of a member's data, for
    /// raid10 that of all members together.
    From(Sector),
}

/// Which way a reshape moves through the array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the start to the end.
    Forwards,
    /// From the end to the start.
    Backwards,
}

/// A reshape that was under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reshape {
    /// The next sector of the array to move; at most the end of all that its members hold.
    pub position: Sector,
    /// Slots gained; negative when the array shrinks. The old number of slots is `raid_disks - delta_disks`.
    pub delta_disks: i32,
    /// The level being changed to.
    pub new_level: Level,
    /// The layout being changed to.
    pub new_layout: u32,
    /// The chunk size being changed to.
    pub new_chunk: Sectors,
    /// Which way it goes; [`Direction::Backwards`] whenever `delta_disks` is negative.
    pub direction: Direction,
}

/// Whether the array has a journal member, present or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JournalUse {
    /// No journal.
    Without,
    /// Writes go through a journal (`MD_FEATURE_JOURNAL`).
    With,
}

/// Whether the array belongs to a cluster, which this driver does not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clustering {
    /// One host.
    Single,
    /// `MD_FEATURE_CLUSTERED`.
    Clustered,
}

/// What every superblock of an array says alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArrayState {
    /// When the superblock was written.
    pub updated: SbTime,
    /// How often it was.
    pub events: Events,
    /// Up to where the array is in sync.
    pub resync: ResyncPoint,
    /// Its level.
    pub level: Level,
    /// The layout, a number whose meaning depends on the level; `None` on a raid0 whose superblock does not say.
    pub layout: Option<u32>,
    /// The chunk size; zero for levels without one.
    pub chunk: Sectors,
    /// The used length of each member; zero for levels that use all of it.
    pub member_size: Sectors,
    /// Slots, 1 to 1920.
    pub raid_disks: u16,
    /// The logical block size the array was given, if it was.
    pub block_size: Option<BlockSize>,
    /// The reshape under way.
    pub reshape: Option<Reshape>,
    /// Whether it has a journal.
    pub journal: JournalUse,
    /// Whether it belongs to a cluster.
    pub clustering: Clustering,
}

/// How far a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// In sync with its slot, or without one.
    Settled,
    /// Rebuilt up to here; everything by itself.
    Recovering {
        /// Sectors from the start of its data, at most what the array uses of it.
        upto: Sectors,
    },
    /// Rebuilt up to here, only where the bitmap says.
    RecoveringByBitmap {
        /// Sectors from the start of its data, at most what the array uses of it.
        upto: Sectors,
    },
    /// A journal; replay starts here.
    Journal {
        /// Sectors from the start of its data, where a whole block of the ring begins.
        tail: Sectors,
    },
}

/// Where a member keeps the array's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataPlace {
    /// First sector on the member.
    pub offset: Sector,
    /// Usable length: from the later of the two places it stays on the member.
    pub size: Sectors,
    /// The length that the superblock has, at least `size`: an update writes it back.
    pub recorded: Sectors,
    /// First sector for what the reshape under way has moved; equal to `offset` without one.
    pub new_offset: Sector,
}

impl DataPlace {
    /// Data that no reshape moves, all of it usable.
    pub const fn at_rest(offset: Sector, size: Sectors) -> Self {
        Self {
            offset,
            size,
            recorded: size,
            new_offset: offset,
        }
    }

    /// The place when the reshape that moves the data has ended.
    #[must_use]
    pub fn settled(self) -> Self {
        let up = self.new_offset.distance_from(self.offset);
        let down = self.offset.distance_from(self.new_offset);
        let size = match (up, down) {
            (Some(up), _) => self
                .recorded
                .checked_sub(up)
                .map(|left| left.min(self.size)),
            (None, Some(down)) => self.size.checked_add(down),
            (None, None) => None,
        };
        Self::at_rest(self.new_offset, size.unwrap_or(self.size))
    }

    /// The same place with room for `size` sectors.
    #[must_use]
    pub const fn with_size(self, size: Sectors) -> Self {
        Self {
            size,
            recorded: size,
            ..self
        }
    }
}

/// What tells after a crash which blocks may differ; a superblock has room for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashLog {
    /// Nothing; or a journal, which is a member.
    None,
    /// A bitmap.
    Bitmap(BitmapPlace),
    /// A partial parity log.
    Ppl(PplPlace),
}

/// Where the bitmap starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BitmapPlace {
    /// Sectors from the superblock.
    pub offset: NonZeroI32,
    /// The same as a position on the member.
    pub start: Sector,
}

/// Whether a partial parity log is one slot or a ring of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PplKind {
    /// The log is always at the start of its area (`MD_FEATURE_PPL`).
    Single,
    /// Logs follow one another (`MD_FEATURE_MULTIPLE_PPLS`).
    Multiple,
}

/// Where the partial parity log lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PplPlace {
    /// One slot or a ring.
    pub kind: PplKind,
    /// Sectors from the superblock.
    pub offset: i16,
    /// Length in sectors as the superblock has it.
    pub sectors: u16,
    /// The same as a range on the member; `None` when there is no room for a header and one stripe
    /// ([`AREA_SECTORS_MIN`](crate::format::ppl::AREA_SECTORS_MIN)): an array with such a member does not start
    /// (`ENOSPC`).
    pub range: Option<SectorRange>,
}

/// Where a member notes its bad blocks; always inside the member, at most 8 sectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadBlockLog {
    /// Its sectors on the member.
    pub range: SectorRange,
    /// Entries count in units of `1 << shift` sectors, `shift` below 64.
    pub shift: u8,
}

/// Whether a member has bad blocks to read from its log, or to write to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadBlocks {
    /// None are known; the log's bytes mean nothing.
    Unrecorded,
    /// The log holds some (`MD_FEATURE_BAD_BLOCKS`).
    Recorded,
}

/// What a superblock says of the member it lies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberState {
    /// Where the superblock lies.
    pub superblock: Sector,
    /// Where the data lies.
    pub data: DataPlace,
    /// How far it is.
    pub progress: Progress,
    /// It takes over from the member in its slot.
    pub replacement: bool,
    /// Read only when nothing else has the data.
    pub write_mostly: bool,
    /// Fail at the first error while others have the data.
    pub failfast: bool,
    /// Read errors mended by writing.
    pub corrected_reads: u32,
    /// The bitmap or partial parity log.
    pub crash_log: CrashLog,
    /// Whether bad blocks are recorded.
    pub bad_blocks: BadBlocks,
}

/// What a superblock had stored that reaches beyond what it is about, where the value it was taken for is another: the
/// nearest that does not, as C md reads it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Strays {
    /// Where the resync was to go on; taken for the end, where nothing is left to do.
    pub resync: Option<Sector>,
    /// Up to where the member was rebuilt; taken for all of it.
    pub recovered: Option<Sectors>,
    /// Where the journal was to be replayed from, perhaps no block; taken for the start of the ring.
    pub tail: Option<Sectors>,
}
