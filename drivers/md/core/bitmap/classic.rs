// SPDX-License-Identifier: GPL-2.0

//! The geometry of a classic bitmap: chunk size, bits on media, counters in memory.
//!
//! On media the bits follow a 256-byte superblock, or start at 0 when the metadata are external. In memory counters
//! are kept in pages that are allocated when first needed. When there is no memory for a page its pointer itself
//! serves as two counters, each for half of the page's chunks ([`Grain::HalfPage`]): everything one of them says
//! holds for every chunk of its half. C md then sets the bit of the first chunk only; here [`Geometry::shared`] names
//! all chunks a counter stands for, and with the counter leaving [`Clear`](super::counter::Counter::Clear) all their
//! bits are set.
//!
//! Follows `__bitmap_resize()` and `md_bitmap_get_counter()` of `drivers/md/md-bitmap.c`.

use core::fmt;

use super::geometry::{ChunkShift, ChunkSpan, PageShift, CHUNK_SHIFT_MAX};
use crate::units::{BitmapChunk, Sector, SectorRange, Sectors, SECTOR_SHIFT};

/// Bytes of the bitmap superblock.
pub const SUPER_BYTES: u64 = 256;
/// `log2` of the largest chunk in sectors: the superblock stores 32 bits of bytes.
pub const SHIFT_MAX: u32 = CHUNK_SHIFT_MAX - SECTOR_SHIFT;
/// `log2` of a counter in bytes.
const COUNTER_SHIFT: u32 = 1;

/// Whether the bits are preceded by a superblock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// They are.
    Super,
    /// They are not: external metadata.
    None,
}

impl Header {
    /// Its length in bytes.
    pub const fn bytes(self) -> u64 {
        match self {
            Self::Super => SUPER_BYTES,
            Self::None => 0,
        }
    }
}

/// How many chunks share a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grain {
    /// Each has its own.
    Chunk,
    /// Each half of a page's chunks has one.
    HalfPage,
}

/// Why there is no geometry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GeometryError {
    /// There is no data to keep a bitmap of.
    NoData,
    /// The chunk is larger than the superblock can express.
    ChunkTooLarge,
}

impl fmt::Display for GeometryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoData => "the array has no data to keep a bitmap of",
            Self::ChunkTooLarge => "the bitmap chunk is too large",
        })
    }
}

/// The geometry of a classic bitmap.
///
/// # Invariants
///
/// `data` is not zero, `chunks` is `data` in chunks, rounded up, and the shift is at most [`SHIFT_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    data: Sectors,
    chunk: ChunkShift,
    chunks: u64,
    page: PageShift,
    header: Header,
}

impl Geometry {
    /// The geometry of `data` in chunks of `chunk`.
    pub fn new(
        data: Sectors,
        chunk: ChunkShift,
        page: PageShift,
        header: Header,
    ) -> Result<Self, GeometryError> {
        if data.is_zero() {
            return Err(GeometryError::NoData);
        }
        if chunk.get() > SHIFT_MAX {
            return Err(GeometryError::ChunkTooLarge);
        }
        let chunks = chunk.chunks_for(data.get());
        // INVARIANT: checked and computed just above.
        Ok(Self {
            data,
            chunk,
            chunks,
            page,
            header,
        })
    }

    /// The geometry for a new size of the array: the same chunks if their bits fit into `space`, else doubled until
    /// they do; when even the largest do not fit, those.
    pub fn resized(&self, data: Sectors, space: Sectors) -> Result<Self, GeometryError> {
        let room = space.get().saturating_mul(1 << SECTOR_SHIFT);
        let mut made = Self::new(data, self.chunk, self.page, self.header)?;
        // Each turn doubles the chunk, so there are at most `SHIFT_MAX` of them.
        while made.bytes() > room {
            let Some(larger) =
                ChunkShift::of(Sectors::new(made.chunk.length().get().saturating_mul(2)))
            else {
                break;
            };
            match Self::new(data, larger, self.page, self.header) {
                Ok(next) => made = next,
                Err(_) => break,
            }
        }
        Ok(made)
    }

    /// What the bitmap covers.
    pub const fn data(&self) -> Sectors {
        self.data
    }

    /// The chunk size.
    pub const fn chunk(&self) -> ChunkShift {
        self.chunk
    }

    /// The number of chunks, and of bits.
    pub const fn chunks(&self) -> u64 {
        self.chunks
    }

    /// Bytes on media, superblock included.
    pub const fn bytes(&self) -> u64 {
        self.chunks.div_ceil(8).saturating_add(self.header.bytes())
    }

    /// Pages on media.
    pub const fn file_pages(&self) -> u64 {
        self.page.pages_for(self.bytes())
    }

    /// Counters in a page of memory.
    pub const fn counters_per_page(&self) -> u64 {
        self.page.bytes() >> COUNTER_SHIFT
    }

    /// Pages of counters.
    pub const fn counter_pages(&self) -> u64 {
        // A counter is two bytes, and twice `chunks` fits: an array has at least one sector for each.
        self.page
            .pages_for(self.chunks.saturating_mul(1 << COUNTER_SHIFT))
    }

    /// The chunks a write to `range` touches; `None` when it lies wholly beyond the data.
    pub fn touched(&self, range: SectorRange) -> Option<ChunkSpan> {
        let end = range.end().get().min(self.data.get());
        let (last, _) = self.chunk.split(end.checked_sub(1)?);
        ChunkSpan::new(self.chunk_of(range.start())?, BitmapChunk::new(last))
    }

    /// The chunk that holds `sector`, or `None` beyond the data.
    pub const fn chunk_of(&self, sector: Sector) -> Option<BitmapChunk> {
        if sector.get() < self.data.get() {
            Some(BitmapChunk::new(self.chunk.split(sector.get()).0))
        } else {
            None
        }
    }

    /// The chunks that share the counter of `chunk`; `None` beyond the last chunk.
    pub fn shared(&self, chunk: BitmapChunk, grain: Grain) -> Option<ChunkSpan> {
        let last = self.chunks.checked_sub(1)?;
        if chunk.get() > last {
            return None;
        }
        let group = match grain {
            Grain::Chunk => 1,
            Grain::HalfPage => self.counters_per_page() >> 1,
        };
        // A group is a power of two.
        let first = chunk.get() & !group.wrapping_sub(1);
        let end = first.saturating_add(group.saturating_sub(1)).min(last);
        ChunkSpan::new(BitmapChunk::new(first), BitmapChunk::new(end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn geometry(data: u64, shift: u32) -> Geometry {
        let chunk = ChunkShift::of(Sectors::new(1 << shift)).expect("a valid shift");
        Geometry::new(
            Sectors::new(data),
            chunk,
            PageShift::FOUR_KIB,
            Header::Super,
        )
        .expect("valid")
    }

    #[test]
    fn sizes() {
        let g = geometry(1 << 31, 17);
        assert_eq!(
            (g.chunks(), g.bytes(), g.file_pages(), g.counter_pages()),
            (1 << 14, 2304, 1, 8)
        );
        let one_more = geometry((1 << 31) + 1, 17);
        assert_eq!(
            (
                one_more.chunks(),
                one_more.bytes(),
                one_more.counter_pages()
            ),
            ((1 << 14) + 1, 2305, 9)
        );
    }

    #[test]
    fn chunks_double_until_the_bits_fit() {
        let g = geometry(1 << 20, 7);
        let same = g
            .resized(Sectors::new(1 << 20), Sectors::new(3))
            .expect("valid");
        assert_eq!(same.chunk().get(), 7);
        let doubled = g
            .resized(Sectors::new((1 << 20) + 1), Sectors::new(2))
            .expect("valid");
        assert_eq!((doubled.chunk().get(), doubled.bytes()), (8, 769));
        let largest = g.resized(Sectors::MAX, Sectors::new(1)).expect("valid");
        assert_eq!(largest.chunk().get(), SHIFT_MAX);
        assert_eq!(
            g.resized(Sectors::ZERO, Sectors::new(1)),
            Err(GeometryError::NoData)
        );
    }

    #[test]
    fn a_shared_counter_stands_for_half_a_page() {
        let g = geometry(5000 << 7, 7);
        let shared = |n, grain| {
            g.shared(BitmapChunk::new(n), grain)
                .map(|s| (s.first().get(), s.last().get()))
        };
        assert_eq!(shared(1500, Grain::Chunk), Some((1500, 1500)));
        assert_eq!(shared(1500, Grain::HalfPage), Some((1024, 2047)));
        assert_eq!(shared(4999, Grain::HalfPage), Some((4096, 4999)));
        assert_eq!(shared(5000, Grain::HalfPage), None);
    }
}
