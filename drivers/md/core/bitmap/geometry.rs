// SPDX-License-Identifier: GPL-2.0

//! The geometry of a lockless bitmap: chunk size, pages and blocks, and the chunks that an I/O covers.
//!
//! The area on each member starts with a 1 KiB header (the bitmap superblock), then one byte per chunk. It is kept in
//! pages, the header in the first of them. C md forgets the header when it bounds the number of chunks, so that its
//! bitmap may run over the end of its area; here `chunks <= area - 1024` always.
//!
//! Follows `llbitmap_init()`, `llbitmap_read_sb()`, `llbitmap_start_write()` and `llbitmap_start_discard()` of
//! `drivers/md/md-llbitmap.c`. A discard covers a chunk only when nothing of the chunk remains (C takes the last chunk
//! for covered whatever remains of it, and forgets live data).

use core::fmt;

use crate::format::BlockSize;
use crate::units::{BitmapChunk, Sector, SectorRange, Sectors, SECTOR_SHIFT};

/// Bytes before the first cell.
pub const HEADER_BYTES: u64 = 1024;
/// `log2` of the smallest chunk in sectors: 64 KiB, the largest request of a mirror's resync.
pub const CHUNK_SHIFT_MIN: u32 = 7;
/// `log2` of the largest chunk in sectors that the superblock can express.
pub const CHUNK_SHIFT_MAX: u32 = 31;

/// `log2` of a page in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageShift(u32);

impl PageShift {
    /// 4 KiB.
    pub const FOUR_KIB: Self = Self(12);

    /// The page of `1 << shift` bytes, or `None` when it is not between 4 KiB and 64 KiB.
    pub const fn new(shift: u32) -> Option<Self> {
        match shift {
            12..=16 => Some(Self(shift)),
            _ => None,
        }
    }

    /// Bytes in a page.
    pub const fn bytes(self) -> u64 {
        // `wrapping_shl` because it cannot panic; the shift is at most 16.
        1_u64.wrapping_shl(self.0)
    }

    /// The page that holds `byte`, and the offset of `byte` in it.
    pub(super) const fn split(self, byte: u64) -> (u64, u64) {
        let mask = self.bytes().wrapping_sub(1);
        (byte.wrapping_shr(self.0), byte & mask)
    }

    /// Pages needed to hold `bytes`.
    pub(super) const fn pages_for(self, bytes: u64) -> u64 {
        match self.split(bytes) {
            (pages, 0) => pages,
            (pages, _) => pages.saturating_add(1),
        }
    }

    /// The shift.
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// `log2` of a chunk in sectors, between [`CHUNK_SHIFT_MIN`] (0 for what other drivers wrote) and [`CHUNK_SHIFT_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChunkShift(u32);

impl ChunkShift {
    /// The chunk of `length`, or `None` when that is no power of two or too large for a superblock.
    pub const fn of(length: Sectors) -> Option<Self> {
        let n = length.get();
        if n.is_power_of_two() && n.trailing_zeros() <= CHUNK_SHIFT_MAX {
            Some(Self(n.trailing_zeros()))
        } else {
            None
        }
    }

    /// The shift.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The chunk's length.
    pub const fn length(self) -> Sectors {
        // `wrapping_shl` because it cannot panic; the shift is at most 31.
        Sectors::new(1_u64.wrapping_shl(self.0))
    }

    /// The chunk that holds `sector`, and the offset of `sector` in it.
    pub(super) const fn split(self, sector: u64) -> (u64, u64) {
        let mask = self.length().get().wrapping_sub(1);
        (sector.wrapping_shr(self.0), sector & mask)
    }

    /// Chunks needed to cover `sectors`.
    pub(super) const fn chunks_for(self, sectors: u64) -> u64 {
        match self.split(sectors) {
            (chunks, 0) => chunks,
            (chunks, _) => chunks.saturating_add(1),
        }
    }
}

/// Why a geometry is refused. C md: `EINVAL` unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GeometryError {
    /// There is no data to keep a bitmap of.
    NoData,
    /// The area does not even hold the header and one cell. C md: `ENOSPC`.
    NoSpace,
    /// Even the largest chunk needs more cells than the area holds.
    DataTooLarge,
    /// The stored chunk size is no power of two, or too large.
    ChunkSize(Sectors),
    /// The stored chunk size needs more cells than the area holds; C md may have written it so, over the area's end.
    ChunkTooSmall {
        /// Cells needed.
        chunks: u64,
        /// Cells there is room for.
        room: u64,
    },
    /// A block is larger than a page.
    BlockSize,
}

impl fmt::Display for GeometryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoData => f.write_str("the array has no data to keep a bitmap of"),
            Self::NoSpace => f.write_str("the space for the bitmap does not hold one cell"),
            Self::DataTooLarge => {
                f.write_str("the space for the bitmap is too small for the array")
            }
            Self::ChunkSize(size) => write!(f, "bitmap chunk size of {size} sectors"),
            Self::ChunkTooSmall { chunks, room } => {
                write!(f, "the bitmap needs {chunks} cells, its space holds {room}")
            }
            Self::BlockSize => f.write_str("the logical block size is larger than a page"),
        }
    }
}

/// A run of chunks, never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkSpan {
    first: u64,
    last: u64,
}

impl ChunkSpan {
    /// From `first` to `last`, both included; `None` when that is empty.
    #[inline]
    pub const fn new(first: BitmapChunk, last: BitmapChunk) -> Option<Self> {
        if first.get() <= last.get() {
            Some(Self {
                first: first.get(),
                last: last.get(),
            })
        } else {
            None
        }
    }

    /// The first chunk.
    #[inline]
    pub const fn first(self) -> BitmapChunk {
        BitmapChunk::new(self.first)
    }

    /// The last chunk.
    #[inline]
    pub const fn last(self) -> BitmapChunk {
        BitmapChunk::new(self.last)
    }

    /// How many they are.
    #[inline]
    pub const fn chunks(self) -> u64 {
        self.last.saturating_sub(self.first).saturating_add(1)
    }

    /// Its chunks in order.
    pub fn iter(self) -> impl Iterator<Item = BitmapChunk> {
        (self.first..=self.last).map(BitmapChunk::new)
    }
}

/// The index of a page of the bitmap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PageIndex(pub u64);

/// A run of pages, never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageSpan {
    /// The first page.
    pub first: PageIndex,
    /// The last page.
    pub last: PageIndex,
}

/// Where a cell is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CellPlace {
    /// Its page.
    pub page: PageIndex,
    /// Its byte in the page.
    pub offset: u32,
    /// The block of the page it is written with.
    pub block: u32,
}

/// The geometry of a lockless bitmap.
///
/// # Invariants
///
/// `data` is not zero, `chunks` is `data` in chunks, rounded up, and `HEADER_BYTES + chunks` fits the area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    data: Sectors,
    chunk: ChunkShift,
    chunks: u64,
    page: PageShift,
    block: BlockSize,
}

/// What a geometry is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    /// What the bitmap covers: the sectors a resync walks over.
    pub data: Sectors,
    /// The space for the bitmap on each member, header included.
    pub space: Sectors,
    /// The machine's page.
    pub page: PageShift,
    /// The unit the bitmap is written in: the array's logical block size.
    pub block: BlockSize,
}

impl Geometry {
    /// The geometry of a new bitmap: 64 KiB chunks, doubled until their cells fit.
    pub fn choose(area: &Area) -> Result<Self, GeometryError> {
        Self::doubled(area, ChunkShift(CHUNK_SHIFT_MIN))
    }

    /// The geometry for a new size of the array: the same chunks if their cells fit, else doubled until they do.
    pub fn resized(&self, area: &Area) -> Result<Self, GeometryError> {
        Self::doubled(area, self.chunk)
    }

    fn doubled(area: &Area, from: ChunkShift) -> Result<Self, GeometryError> {
        (from.0..=CHUNK_SHIFT_MAX)
            .map(|shift| Self::with_chunk(area, ChunkShift(shift)))
            .find(|made| !matches!(made, Err(GeometryError::ChunkTooSmall { .. })))
            .unwrap_or(Err(GeometryError::DataTooLarge))
    }

    /// The geometry of a bitmap found on media with chunks of `stored` length.
    pub fn stored(area: &Area, stored: Sectors) -> Result<Self, GeometryError> {
        let chunk = ChunkShift::of(stored).ok_or(GeometryError::ChunkSize(stored))?;
        Self::with_chunk(area, chunk)
    }

    fn with_chunk(area: &Area, chunk: ChunkShift) -> Result<Self, GeometryError> {
        let Area {
            data, page, block, ..
        } = *area;
        if data.is_zero() {
            return Err(GeometryError::NoData);
        }
        if u64::from(block.bytes()) > page.bytes() {
            return Err(GeometryError::BlockSize);
        }
        let room = area
            .space
            .get()
            .saturating_mul(1 << SECTOR_SHIFT)
            .saturating_sub(HEADER_BYTES);
        if room == 0 {
            return Err(GeometryError::NoSpace);
        }
        let chunks = chunk.chunks_for(data.get());
        if chunks > room {
            return Err(GeometryError::ChunkTooSmall { chunks, room });
        }
        // INVARIANT: all three clauses were established above.
        Ok(Self {
            data,
            chunk,
            chunks,
            page,
            block,
        })
    }

    /// What the bitmap covers.
    pub const fn data(&self) -> Sectors {
        self.data
    }

    /// The chunk size.
    pub const fn chunk(&self) -> ChunkShift {
        self.chunk
    }

    /// The number of chunks, and of cells.
    pub const fn chunks(&self) -> u64 {
        self.chunks
    }

    /// The number of pages.
    pub const fn pages(&self) -> u64 {
        // By the type invariant the sum is at most the size of the area.
        self.page
            .pages_for(HEADER_BYTES.saturating_add(self.chunks))
    }

    /// The number of blocks in a page.
    pub fn blocks_per_page(&self) -> u64 {
        // A block is a power of two.
        self.page
            .bytes()
            .wrapping_shr(self.block.bytes().trailing_zeros())
    }

    /// All chunks.
    pub const fn all(&self) -> ChunkSpan {
        ChunkSpan {
            first: 0,
            last: self.chunks.saturating_sub(1),
        }
    }

    /// The sectors of `chunk`, the last one possibly shorter; `None` beyond the last chunk.
    pub fn sectors_of(&self, chunk: BitmapChunk) -> Option<SectorRange> {
        let start = chunk.get().checked_mul(self.chunk.length().get())?;
        let rest = self.data.get().checked_sub(start)?;
        SectorRange::new(
            Sector::new(start),
            Sectors::new(rest).min(self.chunk.length()),
        )
    }

    /// The chunk that holds `sector`, or `None` beyond the data.
    pub const fn chunk_of(&self, sector: Sector) -> Option<BitmapChunk> {
        if sector.get() < self.data.get() {
            Some(BitmapChunk::new(self.chunk.split(sector.get()).0))
        } else {
            None
        }
    }

    /// The length from `sector` to the end of its chunk: what an answer about the chunk holds for.
    pub const fn rest_of_chunk(&self, sector: Sector) -> Sectors {
        let (_, offset) = self.chunk.split(sector.get());
        Sectors::new(self.chunk.length().get().saturating_sub(offset))
    }

    /// The chunks a write to `range` touches; `None` when it lies wholly beyond the data.
    #[inline]
    pub fn touched(&self, range: SectorRange) -> Option<ChunkSpan> {
        let first = self.chunk_of(range.start())?;
        let end = range.end().get().min(self.data.get());
        let (last, _) = self.chunk.split(end.saturating_sub(1));
        ChunkSpan::new(first, BitmapChunk::new(last))
    }

    /// The chunks of which a discard of `range` leaves nothing; `None` when there is none.
    pub fn covered(&self, range: SectorRange) -> Option<ChunkSpan> {
        let first = self.chunk.chunks_for(range.start().get());
        // The last chunk ends where the data ends.
        let behind = if range.end().get() >= self.data.get() {
            self.chunks
        } else {
            self.chunk.split(range.end().get()).0
        };
        ChunkSpan::new(
            BitmapChunk::new(first),
            BitmapChunk::new(behind.checked_sub(1)?),
        )
    }

    /// The chunks wholly below `sector`: what a checkpoint of a sync pass at `sector` may end.
    pub fn below(&self, sector: Sector) -> Option<ChunkSpan> {
        SectorRange::new(Sector::ZERO, Sectors::new(sector.get()))
            .and_then(|range| self.covered(range))
    }

    /// Where the cell of `chunk` is; `None` beyond the last chunk.
    #[inline]
    pub fn place(&self, chunk: BitmapChunk) -> Option<CellPlace> {
        if chunk.get() >= self.chunks {
            return None;
        }
        let byte = chunk.get().checked_add(HEADER_BYTES)?;
        let (page, offset) = self.page.split(byte);
        let offset = u32::try_from(offset).ok()?;
        let block = offset.checked_div(self.block.bytes())?;
        Some(CellPlace {
            page: PageIndex(page),
            offset,
            block,
        })
    }

    /// The page, and the byte in it, of the cell of `range`, if it has just one and lies within the data: what most
    /// writes ask for.
    #[inline]
    pub fn only_cell(&self, range: SectorRange) -> Option<(u64, u64)> {
        let (first, last) = (range.start().get(), range.last().get());
        if last >= self.data.get() {
            return None;
        }
        let ((chunk, _), (last, _)) = (self.chunk.split(first), self.chunk.split(last));
        // By the type invariant the sum is at most the size of the area.
        (chunk == last).then(|| self.page.split(chunk.wrapping_add(HEADER_BYTES)))
    }

    /// The pages with the cells of `span`; `None` when it reaches beyond the last chunk.
    pub fn pages_of(&self, span: ChunkSpan) -> Option<PageSpan> {
        let first = self.place(span.first())?.page;
        let last = self.place(span.last())?.page;
        Some(PageSpan { first, last })
    }

    /// The chunks whose cells are on `page`; `None` beyond the last page.
    pub fn chunks_on(&self, page: PageIndex) -> Option<ChunkSpan> {
        let start = page.0.checked_mul(self.page.bytes())?;
        let end = start.checked_add(self.page.bytes())?;
        let last = end
            .checked_sub(HEADER_BYTES)?
            .min(self.chunks)
            .checked_sub(1)?;
        ChunkSpan::new(
            BitmapChunk::new(start.saturating_sub(HEADER_BYTES)),
            BitmapChunk::new(last),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn area(data: u64, space: u64) -> Area {
        Area {
            data: Sectors::new(data),
            space: Sectors::new(space),
            page: PageShift::FOUR_KIB,
            block: BlockSize::SECTOR,
        }
    }

    fn range(start: u64, len: u64) -> SectorRange {
        SectorRange::new(Sector::new(start), Sectors::new(len)).expect("a valid range")
    }

    fn span(span: Option<ChunkSpan>) -> Option<(u64, u64)> {
        span.map(|s| (s.first().get(), s.last().get()))
    }

    /// What the quick way says of a range is what the general one does.
    #[test]
    fn one_cell_is_found_where_there_is_one() {
        let geometry = Geometry::choose(&area(4000 * 128 - 40, 256)).expect("it fits");
        for start in (0..4000 * 128).step_by(8) {
            for len in [1, 8, 127, 128, 129] {
                let range = range(start, len);
                let inside = range.end().get() <= geometry.data().get();
                let one = geometry
                    .touched(range)
                    .filter(|span| inside && span.chunks() == 1)
                    .and_then(|span| geometry.place(span.first()))
                    .map(|place| (place.page.0, u64::from(place.offset)));
                assert_eq!(geometry.only_cell(range), one, "{range:?}");
            }
        }
    }

    /// 128 KiB hold 127 Ki cells; one chunk more and the chunks double.
    #[test]
    fn the_header_counts() {
        let fits = Geometry::choose(&area(127 * 1024 * 128, 256)).expect("it fits");
        assert_eq!(
            (fits.chunk().get(), fits.chunks(), fits.pages()),
            (7, 127 * 1024, 32)
        );
        let doubled = Geometry::choose(&area(127 * 1024 * 128 + 1, 256)).expect("it fits");
        assert_eq!(
            (doubled.chunk().get(), doubled.chunks()),
            (8, 127 * 512 + 1)
        );
    }

    #[test]
    fn impossible_geometries_are_named() {
        assert_eq!(Geometry::choose(&area(0, 256)), Err(GeometryError::NoData));
        assert_eq!(Geometry::choose(&area(1, 2)), Err(GeometryError::NoSpace));
        assert_eq!(
            Geometry::choose(&area(u64::MAX, 3)),
            Err(GeometryError::DataTooLarge)
        );
        let stored = |n| Geometry::stored(&area(1 << 20, 3), Sectors::new(n));
        assert_eq!(stored(3), Err(GeometryError::ChunkSize(Sectors::new(3))));
        assert_eq!(
            stored(128),
            Err(GeometryError::ChunkTooSmall {
                chunks: 8192,
                room: 512
            })
        );
        assert!(stored(2048).is_ok());
    }

    /// Half a discarded chunk still holds data.
    #[test]
    fn a_discard_covers_only_whole_chunks() {
        let g = Geometry::choose(&area(1000, 256)).expect("it fits");
        assert_eq!(span(g.covered(range(0, 64))), None);
        assert_eq!(span(g.covered(range(0, 128 + 64))), Some((0, 0)));
        assert_eq!(span(g.covered(range(1, 256))), Some((1, 1)));
        assert_eq!(span(g.covered(range(1, 200))), None);
        assert_eq!(
            span(g.covered(range(896, 104))),
            Some((7, 7)),
            "the last chunk is short"
        );
        assert_eq!(span(g.covered(range(896, 103))), None);
        assert_eq!(span(g.touched(range(127, 2))), Some((0, 1)));
        assert_eq!(span(g.touched(range(1000, 1))), None);
        assert_eq!(span(g.below(Sector::new(300))), Some((0, 1)));
    }

    #[test]
    fn cells_lie_behind_the_header() {
        let g = Geometry::choose(&area(10_000 * 128, 256)).expect("it fits");
        let place = |n| {
            g.place(BitmapChunk::new(n))
                .map(|p| (p.page.0, p.offset, p.block))
        };
        assert_eq!(place(0), Some((0, 1024, 2)));
        assert_eq!(place(3071), Some((0, 4095, 7)));
        assert_eq!(place(3072), Some((1, 0, 0)));
        assert_eq!(place(10_000), None);
        assert_eq!(span(g.chunks_on(PageIndex(0))), Some((0, 3071)));
        assert_eq!(span(g.chunks_on(PageIndex(2))), Some((7168, 9999)));
        assert_eq!(g.chunks_on(PageIndex(3)), None);
    }
}
