// SPDX-License-Identifier: GPL-2.0

//! The header of a partial parity log (`struct ppl_header`): 4096 bytes, little-endian, followed by the partial parity
//! of each entry in turn. Several logs may follow one another in an area; [`Search`] finds the newest.

use core::fmt;

use zerocopy::byteorder::little_endian::{U32, U64};
use zerocopy::{FromBytes as _, IntoBytes as _};
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::crc::{crc32c, crc32c_without};
use super::ident::Uuid;
use super::BlockSize;
use crate::units::{Sector, Sectors, Slot};

/// Bytes of a header.
pub const HEADER_BYTES: usize = 4096;
/// Sectors of a header.
pub const HEADER_SECTORS: Sectors = Sectors::new(8);
/// The shortest area that is of use: a header and the partial parity of a stripe of 4 KiB. C md answers `ENOSPC` to a
/// shorter one when it starts the array (`ppl_validate_rdev`).
pub const AREA_SECTORS_MIN: Sectors = Sectors::new(16);
/// Entries that fit in one.
pub const ENTRIES_MAX: usize = 148;
/// The start of a header, kept at all ones.
const RESERVED_BYTES: usize = 512;
/// Where the checksum lies.
const CHECKSUM_AT: usize = 532;

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawEntry {
    data_sector: U64,
    pp_size: U32,
    data_size: U32,
    parity_disk: U32,
    checksum: U32,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Raw {
    reserved: [u8; RESERVED_BYTES],
    signature: U32,
    padding: U32,
    generation: U64,
    entries_count: U32,
    checksum: U32,
    entries: [RawEntry; ENTRIES_MAX],
    tail: [u8; 8],
}

const _: () = {
    assert!(size_of::<Raw>() == HEADER_BYTES);
    assert!(core::mem::offset_of!(Raw, checksum) == CHECKSUM_AT);
};

/// Why bytes are not a header to recover from. C md then looks no further and recovers nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PplError {
    /// Fewer than 4096 bytes were given.
    TooShort,
    /// The checksum does not match: nothing was logged here, or the write was torn.
    Checksum {
        /// The one in the header.
        stored: u32,
        /// The one its bytes have.
        computed: u32,
    },
    /// More entries than fit. C md reads them from beyond the header.
    Entries(u32),
    /// An entry whose data or parity is not whole sectors, or lies beyond 2^64. C md drops the odd bytes.
    Entry(Entry),
    /// A parity disk that no array has.
    ParityDisk(u32),
    /// Header and partial parity take so many sectors, more than there are to the end of the area. C md reads on behind
    /// the area.
    BeyondArea(Sectors),
}

impl fmt::Display for PplError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::TooShort => write!(f, "fewer than 4096 bytes"),
            Self::Checksum { stored, computed } => {
                write!(f, "checksum is {computed:#010x}, stored {stored:#010x}")
            }
            Self::Entries(n) => write!(f, "{n} entries, more than {ENTRIES_MAX}"),
            Self::Entry(Entry(at)) => write!(f, "entry {at} is not whole sectors"),
            Self::ParityDisk(disk) => write!(f, "parity on member {disk}"),
            Self::BeyondArea(len) => write!(f, "log of {len} sectors reaches beyond its area"),
        }
    }
}

impl core::error::Error for PplError {}

/// The place of an entry in its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry(pub usize);

/// A write that was under way: stripes whose parity may be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Write {
    /// The first sector of new data, in the array.
    pub data: Sector,
    /// How much new data there is.
    pub data_len: Sectors,
    /// How much partial parity follows the header for it; zero when whole stripes were written.
    pub parity_len: Sectors,
    /// The slot that holds the parity.
    pub parity_slot: Slot,
    /// The sum of the partial parity, as [`parity_sum`] makes it.
    pub checksum: u32,
}

/// The signature of a native array (external metadata has its own).
pub fn signature(uuid: Uuid) -> u32 {
    !crc32c(!0, &uuid.bytes())
}

/// The sum over the partial parity of one entry, `parts` being its pieces in order.
pub fn parity_sum<'p>(parts: impl IntoIterator<Item = &'p [u8]>) -> u32 {
    !parts.into_iter().fold(!0, crc32c)
}

/// A header that passed every check, still in the bytes it was read into.
#[derive(Clone, Copy)]
pub struct Header<'a> {
    raw: &'a Raw,
    entries: &'a [RawEntry],
    block: BlockSize,
}

impl<'a> Header<'a> {
    /// Checks the first 4096 of `bytes`. `block` is the unit of the sectors in it: 512 for native metadata, the
    /// array's logical block for external. `room` is what there is from the header to the end of the area.
    pub fn parse(bytes: &'a [u8], block: BlockSize, room: Sectors) -> Result<Self, PplError> {
        let (raw, _) = Raw::ref_from_prefix(bytes).map_err(|_| PplError::TooShort)?;
        let (stored, computed) = (
            raw.checksum.get(),
            !crc32c_without(!0, raw.as_bytes(), CHECKSUM_AT),
        );
        if stored != computed {
            return Err(PplError::Checksum { stored, computed });
        }
        let count = raw.entries_count.get();
        let entries = usize::try_from(count)
            .ok()
            .and_then(|count| raw.entries.get(..count));
        let entries = entries.ok_or(PplError::Entries(count))?;
        for (index, entry) in entries.iter().enumerate() {
            decode(entry, Entry(index), block)?;
        }
        let header = Self {
            raw,
            entries,
            block,
        };
        if header.len() > room {
            return Err(PplError::BeyondArea(header.len()));
        }
        Ok(header)
    }

    /// Whose log it is.
    pub fn signature(&self) -> u32 {
        self.raw.signature.get()
    }

    /// Counts the headers that were written.
    pub fn generation(&self) -> u64 {
        self.raw.generation.get()
    }

    /// The writes that were under way.
    pub fn writes(&self) -> impl Iterator<Item = Write> + 'a {
        let block = self.block;
        // Every entry decoded when the header was checked.
        self.entries
            .iter()
            .enumerate()
            .filter_map(move |(index, entry)| decode(entry, Entry(index), block).ok())
    }

    /// The length of header and partial parity, hence where the next header of a ring lies.
    pub fn len(&self) -> Sectors {
        let parity = self.writes().map(|write| write.parity_len.get());
        // At most 148 times 2^23 sectors behind the header's 8.
        Sectors::new(parity.fold(HEADER_SECTORS.get(), u64::saturating_add))
    }

    /// A log is never empty: it has its header.
    pub fn is_empty(&self) -> bool {
        false
    }
}

fn decode(raw: &RawEntry, entry: Entry, block: BlockSize) -> Result<Write, PplError> {
    let whole = |bytes: U32| {
        Sectors::from_bytes_exact(u64::from(bytes.get())).ok_or(PplError::Entry(entry))
    };
    let data = raw
        .data_sector
        .get()
        .checked_mul(u64::from(block.bytes() / 512))
        .map(Sector::new);
    let data = data.ok_or(PplError::Entry(entry))?;
    let data_len = whole(raw.data_size)?;
    data.checked_add(data_len).ok_or(PplError::Entry(entry))?;
    let disk = raw.parity_disk.get();
    Ok(Write {
        data,
        data_len,
        parity_len: whole(raw.pp_size)?,
        parity_slot: Slot::new(u16::try_from(disk).map_err(|_| PplError::ParityDisk(disk))?),
        checksum: raw.checksum.get(),
    })
}

/// Whose headers count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Those of the array with this [`signature`].
    Array(u32),
    /// Anybody's: with external metadata a program judges the signature.
    Anybody,
}

/// A header that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Sectors from the start of the area.
    pub at: Sectors,
    /// Its generation.
    pub generation: u64,
}

/// Why a search ended before the area did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// No valid header follows.
    Header(PplError),
    /// The header that follows has this signature, another array's.
    Foreign(u32),
    /// The header that follows is of this generation, older than the one before: the ring began anew there.
    Older(u64),
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Header(error) => error.fmt(f),
            Self::Foreign(signature) => write!(f, "signature {signature:#010x} of another array"),
            Self::Older(generation) => write!(f, "generation {generation} is older"),
        }
    }
}

/// The search for the newest header of an area, one header at a time.
///
/// As in C md (`ppl_load_distributed`) it begins at the start and goes from header to header over the partial parity
/// between them, as long as they are valid, of this array, and not older than the one before; the last one is what is
/// to be recovered from. Unlike C md's it knows where that lies also when the log reaches to the end of the area: C
/// takes the place behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Search {
    area: Sectors,
    owner: Owner,
    block: BlockSize,
    /// Where to look next; `None` when the search is over.
    at: Option<Sectors>,
    newest: Option<Found>,
}

impl Search {
    /// A search through an area of so many sectors; `block` is the unit of the sectors in its headers.
    pub fn new(area: Sectors, owner: Owner, block: BlockSize) -> Self {
        Self {
            area,
            owner,
            block,
            at: Some(Sectors::ZERO),
            newest: None,
        }
        .within()
    }

    /// Where to read the next [`HEADER_BYTES`], in sectors from the start of the area; `None` when the search is over.
    pub fn place(&self) -> Option<Sectors> {
        self.at
    }

    /// Takes the bytes that are there.
    ///
    /// # Errors
    ///
    /// Why the search is over; what it found until then stays.
    pub fn take(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        let Some(at) = self.at.take() else {
            return Ok(());
        };
        let room = self.area.checked_sub(at).unwrap_or(Sectors::ZERO);
        let header = Header::parse(bytes, self.block, room).map_err(Stop::Header)?;
        let (signature, generation) = (header.signature(), header.generation());
        if matches!(self.owner, Owner::Array(ours) if ours != signature) {
            return Err(Stop::Foreign(signature));
        }
        if self
            .newest
            .is_some_and(|newest| newest.generation > generation)
        {
            return Err(Stop::Older(generation));
        }
        self.newest = Some(Found { at, generation });
        self.at = at.checked_add(header.len());
        *self = self.within();
        Ok(())
    }

    /// The newest header so far.
    pub fn newest(&self) -> Option<Found> {
        self.newest
    }

    /// A header needs something behind it to be of use.
    fn within(mut self) -> Self {
        self.at = self.at.filter(|at| {
            at.checked_add(HEADER_SECTORS)
                .is_some_and(|end| end < self.area)
        });
        self
    }
}

/// A header to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewHeader {
    /// Whose log it is.
    pub signature: u32,
    /// One more than that of the last header.
    pub generation: u64,
    /// The unit of the sectors in it.
    pub block: BlockSize,
}

impl NewHeader {
    /// Makes `bytes` the header of `writes`; of none for an empty log.
    pub fn write<W>(&self, bytes: &mut [u8], writes: W) -> Result<(), PplError>
    where
        W: IntoIterator<Item = Write>,
    {
        let (raw, _) = Raw::mut_from_prefix(bytes).map_err(|_| PplError::TooShort)?;
        raw.as_mut_bytes().fill(0);
        raw.reserved.fill(0xff);
        raw.signature = U32::new(self.signature);
        raw.generation = U64::new(self.generation);
        let mut count = 0;
        for write in writes {
            let index = usize::try_from(count).map_err(|_| PplError::Entries(count))?;
            let entry = raw
                .entries
                .get_mut(index)
                .ok_or(PplError::Entries(count.saturating_add(1)))?;
            *entry = encode(write, Entry(index), self.block)?;
            count += 1;
        }
        raw.entries_count = U32::new(count);
        raw.checksum = U32::new(!crc32c_without(!0, raw.as_bytes(), CHECKSUM_AT));
        Ok(())
    }
}

fn encode(write: Write, entry: Entry, block: BlockSize) -> Result<RawEntry, PplError> {
    let bytes = |len: Sectors| {
        len.to_bytes()
            .and_then(|bytes| u32::try_from(bytes).ok())
            .map(U32::new)
    };
    let data = write.data.get().checked_div(u64::from(block.bytes() / 512));
    Ok(RawEntry {
        data_sector: U64::new(data.ok_or(PplError::Entry(entry))?),
        pp_size: bytes(write.parity_len).ok_or(PplError::Entry(entry))?,
        data_size: bytes(write.data_len).ok_or(PplError::Entry(entry))?,
        parity_disk: U32::new(u32::from(write.parity_slot.get())),
        checksum: U32::new(write.checksum),
    })
}

#[cfg(test)]
mod tests;
