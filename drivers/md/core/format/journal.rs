// SPDX-License-Identifier: GPL-2.0

//! The meta block of a raid5 journal (`struct r5l_meta_block`): 4 KiB, little-endian. It describes the data, parity and
//! flush marks of one write; the blocks of data and parity follow it in the ring, in the order of its payloads.

use core::fmt;

use zerocopy::byteorder::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes as _, IntoBytes as _};
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::crc::{crc32c, crc32c_without};
use super::ident::Uuid;
use crate::units::{Sector, Sectors};

/// Bytes of a block of the journal.
pub const BLOCK_BYTES: usize = 4096;
/// Sectors of a block of the journal.
pub const BLOCK_SECTORS: Sectors = Sectors::new(8);
/// `R5LOG_MAGIC`.
const MAGIC: u32 = 0x6433_c509;
/// `R5LOG_VERSION`.
const VERSION: u8 = 1;
/// Where the checksum lies.
const CHECKSUM_AT: usize = 4;
const HEADER_BYTES: usize = 32;
const TYPE_DATA: u16 = 0;
const TYPE_PARITY: u16 = 1;
const TYPE_FLUSH: u16 = 2;

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Raw {
    magic: U32,
    checksum: U32,
    version: u8,
    pad1: u8,
    pad2: U16,
    meta_size: U32,
    seq: U64,
    position: U64,
}

/// The start of each payload; a flush ends before `location`.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawBlocks {
    kind: U16,
    flags: U16,
    size: U32,
    location: U64,
}

const _: () = {
    assert!(size_of::<Raw>() == HEADER_BYTES);
    assert!(size_of::<RawBlocks>() == 16);
};

/// Counts meta blocks; each is one more than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sequence(pub u64);

/// The value that all sums of an array's journal start from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(u32);

impl Seed {
    /// For the array `uuid`.
    pub fn of(uuid: Uuid) -> Self {
        Self(crc32c(!0, &uuid.bytes()))
    }

    /// The number, for summing with another function.
    pub fn get(self) -> u32 {
        self.0
    }

    /// The sum of a block of data or parity.
    pub fn sum(self, block: &[u8]) -> u32 {
        crc32c(self.0, block)
    }
}

/// Why bytes are not a meta block to replay. Replay ends there; C md reports `EINVAL` to itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JournalError {
    /// Not 4096 bytes.
    BlockSize(usize),
    /// No meta block: the magic number is another.
    Magic(u32),
    /// A version that is not 1.
    Version(u8),
    /// The checksum does not match: the write was torn, or the block belongs to another array.
    Checksum {
        /// The one in the block.
        stored: u32,
        /// The one its bytes have.
        computed: u32,
    },
    /// The payloads end beyond the block, or before they start.
    MetaSize(u32),
    /// No block of the ring begins at the block's position.
    Position(Sector),
    /// The block and what follows it take so many sectors, more than the ring has.
    BeyondRing(Sectors),
    /// The payload at this byte is none of the known types.
    PayloadType(usize),
    /// The payload at this byte is not whole, or not whole blocks.
    PayloadSize(usize),
    /// A new payload does not fit: write the block and start another.
    Full,
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::BlockSize(len) => write!(f, "block of {len} bytes, not 4096"),
            Self::Magic(magic) => write!(f, "no meta block: magic is {magic:#010x}"),
            Self::Version(version) => write!(f, "journal version {version}"),
            Self::Checksum { stored, computed } => {
                write!(f, "checksum is {computed:#010x}, stored {stored:#010x}")
            }
            Self::MetaSize(size) => write!(f, "payloads end at byte {size}"),
            Self::Position(at) => write!(f, "meta block at sector {at}, which is no block"),
            Self::BeyondRing(len) => write!(f, "write of {len} sectors, longer than the ring"),
            Self::PayloadType(at) => write!(f, "unknown payload at byte {at}"),
            Self::PayloadSize(at) => write!(f, "payload at byte {at} is not whole"),
            Self::Full => write!(f, "no room for another payload"),
        }
    }
}

impl core::error::Error for JournalError {}

/// What a payload's blocks hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Data, for this sector of the array.
    Data(Sector),
    /// Parity, for this sector of the members: P, then Q for raid6.
    Parity(Sector),
}

/// One entry of a meta block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Payload<'a> {
    /// Blocks that follow the meta block.
    Blocks {
        /// What they hold.
        content: Content,
        /// `R5LOG_PAYLOAD_FLAG_*`; nothing sets any.
        flags: u16,
        /// How long they are, a multiple of 8 sectors.
        len: Sectors,
        /// One sum for each block.
        sums: Sums<'a>,
    },
    /// These stripes were written to the members: forget what is logged of them before this.
    Flush {
        /// `R5LOG_PAYLOAD_FLAG_*`.
        flags: u16,
        /// The stripes, by sector of the members.
        stripes: Stripes<'a>,
    },
}

/// The sums of a payload's blocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sums<'a>(&'a [u8]);

impl<'a> Sums<'a> {
    /// Each sum, in the order of the blocks.
    pub fn iter(self) -> impl Iterator<Item = u32> + 'a {
        self.0
            .chunks_exact(4)
            .filter_map(|sum| sum.first_chunk())
            .map(|sum| u32::from_le_bytes(*sum))
    }
}

/// The stripes of a flush.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stripes<'a>(&'a [u8]);

impl<'a> Stripes<'a> {
    /// The first sector of each stripe on the members.
    pub fn iter(self) -> impl Iterator<Item = Sector> + 'a {
        let words = self
            .0
            .chunks_exact(8)
            .filter_map(|stripe| stripe.first_chunk());
        words.map(|stripe| Sector::new(u64::from_le_bytes(*stripe)))
    }
}

/// A meta block that passed every check, still in the bytes it was read into.
#[derive(Clone, Copy)]
pub struct MetaBlock<'a> {
    raw: &'a Raw,
    payloads: &'a [u8],
}

impl<'a> MetaBlock<'a> {
    /// Checks `block`, payloads included, of a ring of so many sectors. Whether it is the block that replay expects,
    /// [`MetaBlock::sequence`] and [`MetaBlock::position`] tell.
    pub fn parse(block: &'a [u8], seed: Seed, ring: Sectors) -> Result<Self, JournalError> {
        let block: &[u8; BLOCK_BYTES] = block
            .try_into()
            .map_err(|_| JournalError::BlockSize(block.len()))?;
        let (raw, _) = Raw::ref_from_prefix(block).map_err(|_| JournalError::BlockSize(0))?;
        if raw.magic.get() != MAGIC {
            return Err(JournalError::Magic(raw.magic.get()));
        }
        if raw.version != VERSION {
            return Err(JournalError::Version(raw.version));
        }
        let (stored, computed) = (
            raw.checksum.get(),
            crc32c_without(seed.0, block, CHECKSUM_AT),
        );
        if stored != computed {
            return Err(JournalError::Checksum { stored, computed });
        }
        let position = Sector::new(raw.position.get());
        let end = position.checked_add(BLOCK_SECTORS);
        let in_ring = end.is_some_and(|end| end.get() <= ring.get());
        if !in_ring || position.get() % BLOCK_SECTORS.get() != 0 {
            return Err(JournalError::Position(position));
        }
        let size = raw.meta_size.get();
        let payloads = usize::try_from(size)
            .ok()
            .and_then(|size| block.get(HEADER_BYTES..size));
        let payloads = payloads.ok_or(JournalError::MetaSize(size))?;
        let walk = Walk {
            rest: payloads,
            at: HEADER_BYTES,
        };
        for payload in walk {
            payload?;
        }
        let block = Self { raw, payloads };
        let len = block.payload_len().checked_add(BLOCK_SECTORS);
        let len = len.unwrap_or(Sectors::MAX);
        if len > ring {
            return Err(JournalError::BeyondRing(len));
        }
        Ok(block)
    }

    /// Its number.
    pub fn sequence(&self) -> Sequence {
        Sequence(self.raw.seq.get())
    }

    /// Where it lies, from the start of the journal's data.
    pub fn position(&self) -> Sector {
        Sector::new(self.raw.position.get())
    }

    /// Its payloads, in order.
    pub fn payloads(&self) -> impl Iterator<Item = Payload<'a>> {
        // Every payload was walked when the block was checked.
        Walk {
            rest: self.payloads,
            at: HEADER_BYTES,
        }
        .filter_map(Result::ok)
    }

    /// The blocks that follow this one and belong to it.
    pub fn payload_len(&self) -> Sectors {
        let blocks = self.payloads().map(|payload| match payload {
            Payload::Blocks { len, .. } => len.get(),
            Payload::Flush { .. } => 0,
        });
        // At most 1000 sums of 8 sectors each.
        Sectors::new(blocks.fold(0, u64::saturating_add))
    }
}

struct Walk<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Walk<'a> {
    type Item = Result<Payload<'a>, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let at = self.at;
        let step = payload(self.rest, at);
        let taken = step.as_ref().map_or(usize::MAX, |&(_, len)| len);
        // After an error nothing more comes: where the next payload starts is unknown.
        self.rest = self.rest.get(taken..).unwrap_or_default();
        self.at = at.saturating_add(taken);
        Some(step.map(|(payload, _)| payload))
    }
}

/// The payload at the start of `bytes`, which is byte `at` of the block, and how many bytes it takes.
fn payload(bytes: &[u8], at: usize) -> Result<(Payload<'_>, usize), JournalError> {
    const FLUSH_HEADER_BYTES: usize = 8;
    const BLOCKS_HEADER_BYTES: usize = 16;
    let cut = JournalError::PayloadSize(at);
    let (header, _) = bytes.split_first_chunk::<FLUSH_HEADER_BYTES>().ok_or(cut)?;
    let [k0, k1, f0, f1, s0, s1, s2, s3] = *header;
    let (kind, flags) = (u16::from_le_bytes([k0, k1]), u16::from_le_bytes([f0, f1]));
    let size = usize::try_from(u32::from_le_bytes([s0, s1, s2, s3])).map_err(|_| cut)?;
    if kind == TYPE_FLUSH {
        let (end, whole) = (
            FLUSH_HEADER_BYTES.checked_add(size).ok_or(cut)?,
            size % 8 == 0,
        );
        let stripes = bytes
            .get(FLUSH_HEADER_BYTES..end)
            .filter(|_| whole)
            .ok_or(cut)?;
        return Ok((
            Payload::Flush {
                flags,
                stripes: Stripes(stripes),
            },
            end,
        ));
    }
    let (raw, _) = RawBlocks::ref_from_prefix(bytes).map_err(|_| cut)?;
    let location = Sector::new(raw.location.get());
    let content = match kind {
        TYPE_DATA => Content::Data(location),
        TYPE_PARITY => Content::Parity(location),
        _ => return Err(JournalError::PayloadType(at)),
    };
    if size == 0 || size % 8 != 0 {
        return Err(cut);
    }
    let end = (size / 8)
        .checked_mul(4)
        .and_then(|sums| sums.checked_add(BLOCKS_HEADER_BYTES))
        .ok_or(cut)?;
    let sums = Sums(bytes.get(BLOCKS_HEADER_BYTES..end).ok_or(cut)?);
    Ok((
        Payload::Blocks {
            content,
            flags,
            len: Sectors::new(u64::from(raw.size.get())),
            sums,
        },
        end,
    ))
}

/// A meta block being written.
pub struct Writer<'b> {
    block: &'b mut [u8; BLOCK_BYTES],
    used: usize,
}

impl<'b> Writer<'b> {
    /// Starts a meta block at `position` sectors of the journal's data.
    pub fn start(
        block: &'b mut [u8],
        sequence: Sequence,
        position: Sector,
    ) -> Result<Self, JournalError> {
        let len = block.len();
        let block: &mut [u8; BLOCK_BYTES] =
            block.try_into().map_err(|_| JournalError::BlockSize(len))?;
        if position.get() % BLOCK_SECTORS.get() != 0 {
            return Err(JournalError::Position(position));
        }
        block.fill(0);
        let (raw, _) =
            Raw::mut_from_prefix(block.as_mut_bytes()).map_err(|_| JournalError::BlockSize(len))?;
        raw.magic = U32::new(MAGIC);
        raw.version = VERSION;
        raw.seq = U64::new(sequence.0);
        raw.position = U64::new(position.get());
        Ok(Self {
            block,
            used: HEADER_BYTES,
        })
    }

    /// Adds a payload of one block for each of `sums`; `Full` when it does not fit, and the block is as before.
    pub fn push_blocks(&mut self, content: Content, sums: &[u32]) -> Result<(), JournalError> {
        let (kind, location) = match content {
            Content::Data(sector) => (TYPE_DATA, sector),
            Content::Parity(sector) => (TYPE_PARITY, sector),
        };
        let sectors = u32::try_from(sums.len())
            .ok()
            .and_then(|blocks| blocks.checked_mul(8));
        let raw = RawBlocks {
            kind: U16::new(kind),
            flags: U16::ZERO,
            size: U32::new(sectors.ok_or(JournalError::Full)?),
            location: U64::new(location.get()),
        };
        self.push(raw.as_bytes(), sums.iter().map(|sum| sum.to_le_bytes()))
    }

    /// Adds a flush of `stripes`; `Full` when it does not fit, and the block is as before.
    pub fn push_flush(&mut self, stripes: &[Sector]) -> Result<(), JournalError> {
        let bytes = u32::try_from(stripes.len())
            .ok()
            .and_then(|n| n.checked_mul(8))
            .ok_or(JournalError::Full)?;
        let ([k0, k1], [s0, s1, s2, s3]) = (TYPE_FLUSH.to_le_bytes(), bytes.to_le_bytes());
        let header = [k0, k1, 0, 0, s0, s1, s2, s3];
        self.push(
            &header,
            stripes.iter().map(|stripe| stripe.get().to_le_bytes()),
        )
    }

    fn push<const N: usize>(
        &mut self,
        header: &[u8],
        items: impl ExactSizeIterator<Item = [u8; N]>,
    ) -> Result<(), JournalError> {
        let len = items
            .len()
            .checked_mul(N)
            .and_then(|len| len.checked_add(header.len()));
        let end = len
            .and_then(|len| len.checked_add(self.used))
            .ok_or(JournalError::Full)?;
        let room = self
            .block
            .get_mut(self.used..end)
            .ok_or(JournalError::Full)?;
        let (head, tail) = room
            .split_at_mut_checked(header.len())
            .ok_or(JournalError::Full)?;
        head.copy_from_slice(header);
        for (place, item) in tail.chunks_exact_mut(N).zip(items) {
            place.copy_from_slice(&item);
        }
        self.used = end;
        Ok(())
    }

    /// Sums the block, which then can be written out.
    pub fn finish(self, seed: Seed) -> Result<(), JournalError> {
        let (raw, _) =
            Raw::mut_from_prefix(self.block.as_mut_bytes()).map_err(|_| JournalError::Full)?;
        // At most 4096.
        raw.meta_size = U32::new(u32::try_from(self.used).map_err(|_| JournalError::Full)?);
        let sum = crc32c_without(seed.0, &self.block[..], CHECKSUM_AT);
        let (raw, _) =
            Raw::mut_from_prefix(self.block.as_mut_bytes()).map_err(|_| JournalError::Full)?;
        raw.checksum = U32::new(sum);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    const RING: Sectors = Sectors::new(8192);

    fn seed() -> Seed {
        Seed::of(Uuid::new([7; 16]))
    }

    fn block(fill: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
        let mut bytes = vec![0xee; BLOCK_BYTES];
        let mut writer = Writer::start(&mut bytes, Sequence(41), Sector::new(16)).expect("a block");
        fill(&mut writer);
        writer.finish(seed()).expect("a block");
        bytes
    }

    #[test]
    fn blocks_round_trip() {
        let bytes = block(|w| {
            w.push_blocks(Content::Data(Sector::new(800)), &[1])
                .expect("room");
            w.push_blocks(Content::Parity(Sector::new(400)), &[2, 3])
                .expect("room");
            w.push_flush(&[Sector::new(8), Sector::new(24)])
                .expect("room");
        });
        let meta = MetaBlock::parse(&bytes, seed(), RING).expect("a good block");
        assert_eq!(
            (meta.sequence(), meta.position()),
            (Sequence(41), Sector::new(16))
        );
        assert_eq!(meta.payload_len(), Sectors::new(24));
        let payloads: Vec<_> = meta.payloads().collect();
        assert!(
            matches!(payloads[0], Payload::Blocks { content: Content::Data(at), .. } if at.get() == 800)
        );
        assert!(matches!(payloads[1], Payload::Blocks { sums, .. } if sums.iter().eq([2, 3])));
        assert!(
            matches!(payloads[2], Payload::Flush { stripes, .. } if stripes.iter().eq([8, 24].map(Sector::new)))
        );
        assert_eq!(payloads.len(), 3);
    }

    /// The fields where `struct r5l_meta_block` has them.
    #[test]
    fn the_bytes_of_an_empty_block() {
        let bytes = block(|_| {});
        assert_eq!(bytes[0..4], [0x09, 0xc5, 0x33, 0x64]);
        assert_eq!(bytes[8..12], [1, 0, 0, 0]);
        assert_eq!(bytes[12..16], [32, 0, 0, 0]);
        assert_eq!((bytes[16], bytes[24]), (41, 16));
        assert!(bytes[32..].iter().all(|&b| b == 0));
    }

    #[test]
    fn a_full_block_stays_whole() {
        let bytes = block(
            |w| {
                while w.push_blocks(Content::Data(Sector::ZERO), &[5; 10]).is_ok() {}
            },
        );
        let meta = MetaBlock::parse(&bytes, seed(), RING).expect("a good block");
        assert_eq!(meta.payloads().count(), (4096 - 32) / 56);
    }

    #[test]
    fn what_is_refused() {
        let good = block(|w| {
            w.push_blocks(Content::Data(Sector::ZERO), &[1])
                .expect("room")
        });
        let broken = |at: usize, value: u8| {
            let mut bytes = good.clone();
            bytes[at] = value;
            let sum = crc32c_without(seed().0, &bytes, CHECKSUM_AT);
            bytes[4..8].copy_from_slice(&sum.to_le_bytes());
            MetaBlock::parse(&bytes, seed(), RING).map(|_| ())
        };
        assert!(matches!(broken(0, 0), Err(JournalError::Magic(_))));
        assert_eq!(broken(8, 2), Err(JournalError::Version(2)));
        assert_eq!(broken(12, 31), Err(JournalError::MetaSize(31)));
        assert_eq!(broken(13, 0x11), Err(JournalError::MetaSize(0x1134)));
        assert_eq!(broken(24, 9), Err(JournalError::Position(Sector::new(9))));
        assert_eq!(
            broken(25, 0x20),
            Err(JournalError::Position(Sector::new(8208)))
        );
        let ring = |sectors| MetaBlock::parse(&good, seed(), Sectors::new(sectors)).map(|_| ());
        assert_eq!(ring(24), Ok(()));
        assert_eq!(ring(23), Err(JournalError::Position(Sector::new(16))));
        assert_eq!(broken(32, 3), Err(JournalError::PayloadType(32)));
        assert_eq!(broken(36, 16), Err(JournalError::PayloadSize(32)));
        assert_eq!(broken(36, 7), Err(JournalError::PayloadSize(32)));
        assert_eq!(broken(36, 0), Err(JournalError::PayloadSize(32)));
        assert_eq!(broken(12, 33), Err(JournalError::PayloadSize(32)));
        let other = Seed::of(Uuid::new([8; 16]));
        assert!(matches!(
            MetaBlock::parse(&good, other, RING),
            Err(JournalError::Checksum { .. })
        ));
        assert_eq!(
            MetaBlock::parse(&good[1..], seed(), RING).map(|_| ()),
            Err(JournalError::BlockSize(4095))
        );
    }

    #[test]
    fn a_write_fits_its_ring() {
        let bytes = block(|w| {
            w.push_blocks(Content::Data(Sector::ZERO), &[1, 2])
                .expect("room")
        });
        let ring = |sectors| MetaBlock::parse(&bytes, seed(), Sectors::new(sectors)).map(|_| ());
        assert_eq!(ring(24), Ok(()));
        let longer = block(|w| {
            w.push_blocks(Content::Data(Sector::ZERO), &[1, 2, 3])
                .expect("room")
        });
        assert_eq!(
            MetaBlock::parse(&longer, seed(), Sectors::new(24)).map(|_| ()),
            Err(JournalError::BeyondRing(Sectors::new(32)))
        );
    }
}
