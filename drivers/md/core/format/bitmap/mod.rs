// SPDX-License-Identifier: GPL-2.0

//! The superblock of a write-intent bitmap (`struct bitmap_super_s`), versions 3 to 6, and where its cells lie.
//!
//! The first 256 bytes of the bitmap are its superblock, little-endian in every version. Then come the cells:
//!
//! | version | cells | chunk size on disk |
//! |---|---|---|
//! | 3 | bits from byte 256, in words of the host that wrote them | bytes |
//! | 4 | bits from byte 256, little-endian | bytes |
//! | 5 | as 4, a copy for each node of a cluster | bytes |
//! | 6 | lockless: bytes from byte 1024 | sectors |
//!
//! A set bit is a dirty chunk. What a byte means is in [`bitmap`](crate::bitmap).

mod cells;

pub use cells::{dirty_chunks, lockless_byte, Bit, BitAt, BitOrder};

use core::fmt;
use core::num::NonZeroU32;

use zerocopy::byteorder::little_endian::{U32, U64};
use zerocopy::FromBytes as _;
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::bits::bit_set;
use super::ident::Uuid;
use crate::units::{Events, Sectors, SECTOR_SHIFT};

/// "bitm" (`BITMAP_MAGIC`).
pub const MAGIC: u32 = 0x6d74_6962;
/// Bytes of the superblock; classic bits start behind it.
pub const SB_BYTES: usize = 256;
/// Where the bytes of a lockless bitmap start.
pub const LOCKLESS_DATA_AT: u64 = 1024;
/// The most writes behind (`COUNTER_MAX`).
pub const WRITE_BEHIND_MAX: u32 = 16383;
/// Seconds between two runs of the daemon over a lockless bitmap that was not told otherwise.
const LOCKLESS_DAEMON_SLEEP_S: NonZeroU32 = NonZeroU32::MIN.saturating_add(29);
/// What the copies of a clustered bitmap are rounded up to.
const CLUSTER_COPY_ALIGN: u64 = 4096;

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Raw {
    magic: U32,
    version: U32,
    uuid: [u8; 16],
    events: U64,
    events_cleared: U64,
    sync_size: U64,
    state: U32,
    chunksize: U32,
    daemon_sleep: U32,
    write_behind: U32,
    sectors_reserved: U32,
    nodes: U32,
    cluster_name: [u8; 64],
    pad: [u8; 120],
}

const _: () = {
    assert!(size_of::<Raw>() == SB_BYTES);
    assert!(core::mem::offset_of!(Raw, state) == 48);
    assert!(core::mem::offset_of!(Raw, cluster_name) == 72);
};

/// The length of array that one cell stands for: a power of two of sectors, 1 to 2^31.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChunkSize {
    /// `log2` of the sectors, at most 31.
    shift: u32,
}

impl ChunkSize {
    /// The longest that a classic bitmap can say: its 32 bits count bytes.
    const CLASSIC_SHIFT_MAX: u32 = 31 - SECTOR_SHIFT;

    /// A chunk of this many sectors, or `None` when it is not a power of two up to 2^31.
    pub const fn from_sectors(sectors: Sectors) -> Option<Self> {
        let sectors = sectors.get();
        if sectors.is_power_of_two() && sectors.trailing_zeros() <= 31 {
            Some(Self {
                shift: sectors.trailing_zeros(),
            })
        } else {
            None
        }
    }

    /// A chunk of this many bytes, or `None` when it is not a power of two from 512.
    pub const fn from_bytes(bytes: u32) -> Option<Self> {
        if bytes.is_power_of_two() && bytes.trailing_zeros() >= SECTOR_SHIFT {
            Some(Self {
                shift: bytes.trailing_zeros() - SECTOR_SHIFT,
            })
        } else {
            None
        }
    }

    /// `log2` of its sectors, at most 31.
    pub const fn shift(self) -> u32 {
        self.shift
    }

    /// Its length.
    pub const fn sectors(self) -> Sectors {
        // `wrapping_shl` because it cannot panic.
        Sectors::new(1_u64.wrapping_shl(self.shift))
    }

    /// How many chunks cover `length`.
    pub const fn count(self, length: Sectors) -> u64 {
        let whole = length.get().wrapping_shr(self.shift);
        let rest = length.get() & self.sectors().get().wrapping_sub(1);
        if rest == 0 {
            whole
        } else {
            whole.saturating_add(1)
        }
    }
}

/// The state word. Bits without a name here are kept as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateBits(u32);

impl StateBits {
    /// The bitmap missed writes: everything must be resynced.
    pub const STALE: Self = Self(1 << 1);
    /// A bitmap write failed.
    pub const WRITE_ERROR: Self = Self(1 << 2);
    /// A lockless bitmap that no driver has filled in yet.
    pub const FIRST_USE: Self = Self(1 << 3);
    /// A lockless bitmap made with `--assume-clean`.
    pub const CLEAN: Self = Self(1 << 4);
    /// The daemon of a lockless bitmap waits for writers.
    pub const DAEMON_BUSY: Self = Self(1 << 5);
    /// A lockless bitmap is being torn down; never stored.
    pub const SHUTDOWN: Self = Self(1 << 6);
    /// The bits are in the order of the host that wrote them.
    pub const HOST_ENDIAN: Self = Self(1 << 15);

    /// The word `raw`.
    pub const fn from_raw(raw: u32) -> Self {
        Self(raw)
    }
}

bit_set!(StateBits);

/// The version, and what only it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Version 3.
    HostEndian(ChunkSize),
    /// Version 4.
    Classic(ChunkSize),
    /// Version 5.
    Clustered {
        /// The length one bit stands for.
        chunk: ChunkSize,
        /// Copies, one for each node.
        nodes: u32,
    },
    /// Version 6, its chunk size already chosen.
    Lockless(ChunkSize),
    /// Version 6 as mdadm writes it: the driver that starts the array first chooses the chunk size.
    LocklessFirstUse,
}

impl Kind {
    /// The number on disk.
    pub const fn version(self) -> u32 {
        match self {
            Self::HostEndian(_) => 3,
            Self::Classic(_) => 4,
            Self::Clustered { .. } => 5,
            Self::Lockless(_) | Self::LocklessFirstUse => 6,
        }
    }

    /// The length one cell stands for, once chosen.
    pub const fn chunk(self) -> Option<ChunkSize> {
        match self {
            Self::HostEndian(chunk) | Self::Classic(chunk) | Self::Lockless(chunk) => Some(chunk),
            Self::Clustered { chunk, .. } => Some(chunk),
            Self::LocklessFirstUse => None,
        }
    }

    /// Whether it is a lockless bitmap.
    pub const fn is_lockless(self) -> bool {
        matches!(self, Self::Lockless(_) | Self::LocklessFirstUse)
    }

    /// The sectors that superblock and cells take to cover `sync_size`, or `None` while no chunk size is chosen.
    pub fn needed(self, sync_size: Sectors) -> Option<Sectors> {
        let bytes = match self {
            Self::HostEndian(chunk) | Self::Classic(chunk) => classic_bytes(chunk.count(sync_size)),
            Self::Clustered { chunk, nodes } => {
                let bits = classic_bytes(chunk.count(sync_size));
                let copy = bits.checked_next_multiple_of(CLUSTER_COPY_ALIGN);
                copy.unwrap_or(u64::MAX)
                    .saturating_mul(u64::from(nodes.max(1)))
            }
            Self::Lockless(chunk) => LOCKLESS_DATA_AT.saturating_add(chunk.count(sync_size)),
            Self::LocklessFirstUse => return None,
        };
        Some(Sectors::from_bytes_ceil(bytes))
    }
}

fn classic_bytes(chunks: u64) -> u64 {
    chunks.div_ceil(8).saturating_add(256)
}

/// How many chunks a lockless bitmap in `area` has bytes for: its superblock takes the first KiB. C md forgets that
/// and may write up to 1 KiB behind the area.
pub fn lockless_capacity(area: Sectors) -> u64 {
    area.to_bytes()
        .unwrap_or(u64::MAX)
        .saturating_sub(LOCKLESS_DATA_AT)
}

/// Why bytes are not a bitmap superblock to use. C md answers `EINVAL` to each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BitmapError {
    /// Fewer than 256 bytes were given.
    TooShort,
    /// No bitmap: the magic number is another.
    Magic(u32),
    /// A version that is not 3 to 6.
    Version(u32),
    /// Not a power of two, or a classic chunk below 512 bytes.
    ChunkSize(u32),
    /// The daemon would never sleep.
    DaemonSleep,
    /// More writes behind than 16383.
    WriteBehind(u32),
    /// The bitmap of another array.
    Uuid(Uuid),
}

impl fmt::Display for BitmapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::TooShort => write!(f, "fewer than 256 bytes"),
            Self::Magic(magic) => write!(f, "no bitmap: magic is {magic:#010x}"),
            Self::Version(version) => write!(f, "unknown bitmap version {version}"),
            Self::ChunkSize(size) => write!(f, "bitmap chunk size {size}"),
            Self::DaemonSleep => write!(f, "bitmap daemon period is zero"),
            Self::WriteBehind(writes) => {
                write!(f, "{writes} writes behind, more than {WRITE_BEHIND_MAX}")
            }
            Self::Uuid(uuid) => write!(f, "bitmap of array {uuid}"),
        }
    }
}

impl core::error::Error for BitmapError {}

/// Whether a bitmap saw every write the array did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// It did.
    Fresh,
    /// Its events are behind the array's, or it says so itself: resync everything.
    Stale,
}

/// What a bitmap superblock says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BitmapSb {
    /// Version and chunk size.
    pub kind: Kind,
    /// The array it belongs to.
    pub uuid: Uuid,
    /// The array's event count when it was written; never behind the superblock's unless the bitmap is stale.
    pub events: Events,
    /// The event count when a bit was last cleared: a member that left before cannot come back by the bitmap alone.
    pub events_cleared: Events,
    /// What it covers: the length of a member, of the whole array for raid10.
    pub sync_size: Sectors,
    /// The state word.
    pub state: StateBits,
    /// Seconds between two runs of the daemon.
    pub daemon_sleep_s: NonZeroU32,
    /// Writes that may be behind on write-mostly members, at most 16383 for versions 3 to 5.
    pub write_behind: u32,
    /// Sectors kept for the bitmap; zero when unknown.
    pub reserved: Sectors,
}

impl BitmapSb {
    /// Checks the first 256 of `bytes`, read from where the bitmap starts.
    pub fn parse(bytes: &[u8]) -> Result<Self, BitmapError> {
        let (raw, _) = Raw::ref_from_prefix(bytes).map_err(|_| BitmapError::TooShort)?;
        if raw.magic.get() != MAGIC {
            return Err(BitmapError::Magic(raw.magic.get()));
        }
        let state = StateBits::from_raw(raw.state.get());
        let kind = kind(raw, state)?;
        let daemon_sleep_s = match NonZeroU32::new(raw.daemon_sleep.get()) {
            Some(seconds) => seconds,
            None if kind == Kind::LocklessFirstUse => LOCKLESS_DAEMON_SLEEP_S,
            None => return Err(BitmapError::DaemonSleep),
        };
        let write_behind = raw.write_behind.get();
        if !kind.is_lockless() && write_behind > WRITE_BEHIND_MAX {
            return Err(BitmapError::WriteBehind(write_behind));
        }
        Ok(Self {
            kind,
            uuid: Uuid::new(raw.uuid),
            events: Events::new(raw.events.get()),
            events_cleared: Events::new(raw.events_cleared.get()),
            sync_size: Sectors::new(raw.sync_size.get()),
            state,
            daemon_sleep_s,
            write_behind,
            reserved: Sectors::new(u64::from(raw.sectors_reserved.get())),
        })
    }

    /// Whether the bitmap belongs to the array `uuid` and knows all of its writes up to `events`. The events of a
    /// clustered bitmap do not count.
    pub fn freshness(&self, uuid: Uuid, events: Events) -> Result<Freshness, BitmapError> {
        if self.uuid != uuid {
            return Err(BitmapError::Uuid(self.uuid));
        }
        let clustered = matches!(self.kind, Kind::Clustered { nodes: 1.., .. });
        let behind = self.events < events && !clustered;
        Ok(if behind || self.state.contains(StateBits::STALE) {
            Freshness::Stale
        } else {
            Freshness::Fresh
        })
    }

    /// The event count before which a bitmap may have forgotten what members missed, when it is loaded by an array that
    /// is at `events`.
    ///
    /// C md clears cells of a lockless bitmap and leaves `events_cleared` zero: then anything may be forgotten. One
    /// that was never used has forgotten nothing, but begins at the present count, so that it need not be taken for one
    /// of C md's.
    pub fn forgotten_before(&self, events: Events) -> Events {
        match self.kind {
            Kind::LocklessFirstUse => events,
            Kind::Lockless(_) if self.events_cleared == Events::ZERO => events,
            _ => self.events_cleared,
        }
    }

    /// Writes into `bytes`, the superblock as it was read or zeroes; the name of the cluster and the padding stay.
    ///
    /// The error is [`BitmapError::TooShort`], or [`BitmapError::ChunkSize`] for a chunk that the version cannot say.
    pub fn encode(&self, bytes: &mut [u8]) -> Result<(), BitmapError> {
        let (raw, _) = Raw::mut_from_prefix(bytes).map_err(|_| BitmapError::TooShort)?;
        let chunk = match self.kind {
            Kind::LocklessFirstUse => raw.chunksize.get(),
            Kind::Lockless(chunk) => 1_u32.wrapping_shl(chunk.shift),
            Kind::HostEndian(chunk) | Kind::Classic(chunk) | Kind::Clustered { chunk, .. } => {
                if chunk.shift > ChunkSize::CLASSIC_SHIFT_MAX {
                    return Err(BitmapError::ChunkSize(1_u32.wrapping_shl(chunk.shift)));
                }
                1_u32.wrapping_shl(chunk.shift.saturating_add(SECTOR_SHIFT))
            }
        };
        raw.magic = U32::new(MAGIC);
        raw.version = U32::new(self.kind.version());
        raw.uuid = self.uuid.bytes();
        raw.events = U64::new(self.events.get());
        raw.events_cleared = U64::new(self.events_cleared.get());
        raw.sync_size = U64::new(self.sync_size.get());
        raw.state = U32::new(self.state.without(StateBits::SHUTDOWN).to_raw());
        raw.chunksize = U32::new(chunk);
        raw.daemon_sleep = U32::new(self.daemon_sleep_s.get());
        raw.write_behind = U32::new(self.write_behind);
        // More than 2^32 sectors for a bitmap are as good as 2^32 - 1.
        raw.sectors_reserved = U32::new(u32::try_from(self.reserved.get()).unwrap_or(u32::MAX));
        if let Kind::Clustered { nodes, .. } = self.kind {
            raw.nodes = U32::new(nodes);
        }
        Ok(())
    }
}

fn kind(raw: &Raw, state: StateBits) -> Result<Kind, BitmapError> {
    let stored = raw.chunksize.get();
    let bad_chunk = BitmapError::ChunkSize(stored);
    let classic = ChunkSize::from_bytes(stored).ok_or(bad_chunk);
    match raw.version.get() {
        3 => classic.map(Kind::HostEndian),
        4 => classic.map(Kind::Classic),
        5 => classic.map(|chunk| Kind::Clustered {
            chunk,
            nodes: raw.nodes.get(),
        }),
        6 if state.contains(StateBits::FIRST_USE) => Ok(Kind::LocklessFirstUse),
        6 => {
            let chunk = ChunkSize::from_sectors(Sectors::new(u64::from(stored)));
            chunk.map(Kind::Lockless).ok_or(bad_chunk)
        }
        version => Err(BitmapError::Version(version)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: Uuid = Uuid::new(*b"0123456789abcdef");

    fn sample(kind: Kind) -> BitmapSb {
        BitmapSb {
            kind,
            uuid: UUID,
            events: Events::new(7),
            events_cleared: Events::new(6),
            sync_size: Sectors::new(204_800),
            state: StateBits::default(),
            daemon_sleep_s: NonZeroU32::new(5).expect("not zero"),
            write_behind: 0,
            reserved: Sectors::new(8),
        }
    }

    fn encoded(sb: &BitmapSb) -> [u8; SB_BYTES] {
        let mut bytes = [0; SB_BYTES];
        sb.encode(&mut bytes).expect("a value that fits");
        bytes
    }

    fn chunk(sectors: u64) -> ChunkSize {
        ChunkSize::from_sectors(Sectors::new(sectors)).expect("a chunk size")
    }

    /// The fields where `struct bitmap_super_s` has them.
    #[test]
    fn the_bytes_of_a_classic_superblock() {
        let mut sb = sample(Kind::Classic(chunk(131_072)));
        sb.state = StateBits::STALE.with(StateBits::SHUTDOWN);
        let mut wanted = [0; SB_BYTES];
        wanted[0..4].copy_from_slice(b"bitm");
        wanted[4] = 4;
        wanted[8..24].copy_from_slice(b"0123456789abcdef");
        wanted[24] = 7;
        wanted[32] = 6;
        wanted[40..44].copy_from_slice(&[0, 0x20, 3, 0]);
        wanted[48] = 2;
        wanted[52..56].copy_from_slice(&(64_u32 << 20).to_le_bytes());
        wanted[56] = 5;
        wanted[64] = 8;
        assert_eq!(encoded(&sb), wanted);
    }

    #[test]
    fn every_version_round_trips() {
        let clustered = Kind::Clustered {
            chunk: chunk(1024),
            nodes: 4,
        };
        for kind in [
            Kind::HostEndian(chunk(1)),
            Kind::Classic(chunk(8)),
            clustered,
            Kind::Lockless(chunk(1 << 31)),
        ] {
            let sb = sample(kind);
            assert_eq!(BitmapSb::parse(&encoded(&sb)), Ok(sb));
        }
    }

    #[test]
    fn names_and_padding_survive() {
        let mut bytes = encoded(&sample(Kind::Classic(chunk(8))));
        bytes[72..].fill(0x5a);
        sample(Kind::Classic(chunk(16)))
            .encode(&mut bytes)
            .expect("a value that fits");
        assert!(bytes[72..].iter().all(|&b| b == 0x5a));
    }

    #[test]
    fn first_use_needs_neither_chunk_nor_sleep() {
        let mut bytes = [0; SB_BYTES];
        bytes[0..4].copy_from_slice(b"bitm");
        bytes[4] = 6;
        assert_eq!(BitmapSb::parse(&bytes), Err(BitmapError::ChunkSize(0)));
        bytes[48] = 8;
        let sb = BitmapSb::parse(&bytes).expect("a new lockless bitmap");
        assert_eq!(
            (sb.kind, sb.daemon_sleep_s.get()),
            (Kind::LocklessFirstUse, 30)
        );
        assert_eq!(sb.kind.needed(Sectors::new(1 << 20)), None);
    }

    #[test]
    fn what_is_refused() {
        let good = encoded(&sample(Kind::Classic(chunk(8))));
        let broken = |at: usize, value: u32| {
            let mut bytes = good;
            bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
            BitmapSb::parse(&bytes)
        };
        assert_eq!(broken(0, 1), Err(BitmapError::Magic(1)));
        assert_eq!(broken(4, 2), Err(BitmapError::Version(2)));
        assert_eq!(broken(4, 7), Err(BitmapError::Version(7)));
        assert_eq!(broken(52, 256), Err(BitmapError::ChunkSize(256)));
        assert_eq!(broken(52, 1536), Err(BitmapError::ChunkSize(1536)));
        assert_eq!(broken(56, 0), Err(BitmapError::DaemonSleep));
        assert_eq!(broken(60, 16384), Err(BitmapError::WriteBehind(16384)));
        assert!(broken(60, 16383).is_ok());
        assert_eq!(BitmapSb::parse(&good[..255]), Err(BitmapError::TooShort));
        let too_long = sample(Kind::Classic(chunk(1 << 23))).encode(&mut [0; 256]);
        assert_eq!(too_long, Err(BitmapError::ChunkSize(1 << 23)));
    }

    #[test]
    fn freshness() {
        let sb = sample(Kind::Classic(chunk(8)));
        assert_eq!(sb.freshness(UUID, Events::new(7)), Ok(Freshness::Fresh));
        assert_eq!(sb.freshness(UUID, Events::new(8)), Ok(Freshness::Stale));
        assert_eq!(
            sb.freshness(Uuid::default(), Events::new(7)),
            Err(BitmapError::Uuid(UUID))
        );
        let clustered = sample(Kind::Clustered {
            chunk: chunk(8),
            nodes: 2,
        });
        assert_eq!(
            clustered.freshness(UUID, Events::new(8)),
            Ok(Freshness::Fresh)
        );
        let stale = BitmapSb {
            state: StateBits::STALE,
            ..sb
        };
        assert_eq!(stale.freshness(UUID, Events::new(7)), Ok(Freshness::Stale));
    }

    #[test]
    fn a_lockless_bitmap_that_does_not_say_what_it_forgot_may_have_forgotten_all() {
        let forgotten_at = |now, kind, events_cleared| {
            let sb = BitmapSb {
                events_cleared: Events::new(events_cleared),
                ..sample(kind)
            };
            sb.forgotten_before(Events::new(now)).get()
        };
        let forgotten = |kind, events_cleared| forgotten_at(9, kind, events_cleared);
        assert_eq!(forgotten(Kind::Lockless(chunk(128)), 0), 9);
        assert_eq!(forgotten(Kind::Lockless(chunk(128)), 5), 5);
        assert_eq!(forgotten(Kind::LocklessFirstUse, 0), 9);
        // Members of a new array may say zero until something is written.
        assert_eq!(forgotten_at(0, Kind::LocklessFirstUse, 0), 0);
        assert_eq!(forgotten(Kind::Classic(chunk(8)), 0), 0);
        assert_eq!(forgotten(Kind::Classic(chunk(8)), 5), 5);
    }

    #[test]
    fn the_room_it_takes() {
        let size = Sectors::new(204_800);
        assert_eq!(
            Kind::Classic(chunk(131_072)).needed(size),
            Some(Sectors::new(1))
        );
        assert_eq!(Kind::Classic(chunk(8)).needed(size), Some(Sectors::new(7)));
        assert_eq!(
            Kind::Clustered {
                chunk: chunk(8),
                nodes: 3
            }
            .needed(size),
            Some(Sectors::new(24))
        );
        assert_eq!(
            Kind::Lockless(chunk(128)).needed(size),
            Some(Sectors::new(6))
        );
        assert_eq!(lockless_capacity(Sectors::new(256)), 127 * 1024);
        assert_eq!(lockless_capacity(Sectors::new(1)), 0);
    }
}
