// SPDX-License-Identifier: GPL-2.0

//! Where the cell of a chunk lies: a bit of a classic bitmap, a byte of a lockless one.

use super::LOCKLESS_DATA_AT;
use crate::units::BitmapChunk;

/// Where the bits of a classic bitmap start: behind its superblock.
const BITS_AT: u64 = 256;
const _: () = assert!(BITS_AT as usize == super::SB_BYTES);

/// What to flip in a byte's index to find it in a word of this host.
const HOST_BYTE_FLIP: u64 = match (
    cfg!(target_endian = "big"),
    cfg!(target_pointer_width = "64"),
) {
    (false, _) => 0,
    (true, false) => 3,
    (true, true) => 7,
};

/// In which order the bits of a classic bitmap lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BitOrder {
    /// Bit 0 is the lowest of byte 0, whatever the host (versions 4 and 5).
    LittleEndian,
    /// Bit 0 is the lowest of the first word of the host (version 3).
    Host,
}

/// A bit of a classic bitmap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bit {
    /// 0: the members agree on the chunk.
    Clean,
    /// 1: they may differ.
    Dirty,
}

/// Where a bit lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BitAt {
    /// The byte, counted from the bitmap's superblock.
    pub byte: u64,
    /// The one bit of it.
    pub mask: u8,
}

impl BitAt {
    /// Where the bit of `chunk` lies.
    pub const fn of(chunk: BitmapChunk, order: BitOrder) -> Self {
        let byte = chunk.get() / 8;
        let byte = match order {
            BitOrder::LittleEndian => byte,
            BitOrder::Host => byte ^ HOST_BYTE_FLIP,
        };
        // An eighth of 2^64 and 256 more do not overflow.
        Self {
            byte: byte + BITS_AT,
            mask: 1 << (chunk.get() % 8),
        }
    }

    /// The bit in `page`, which starts `page_start` bytes into the bitmap, or `None` when it lies elsewhere.
    pub fn read(self, page: &[u8], page_start: u64) -> Option<Bit> {
        page.get(self.index(page_start)?)
            .map(|byte| self.of_byte(*byte))
    }

    /// Changes the bit in `page`, which starts `page_start` bytes into the bitmap; returns what it was, or `None` when
    /// it lies elsewhere.
    pub fn write(self, page: &mut [u8], page_start: u64, bit: Bit) -> Option<Bit> {
        let byte = page.get_mut(self.index(page_start)?)?;
        let before = self.of_byte(*byte);
        match bit {
            Bit::Clean => *byte &= !self.mask,
            Bit::Dirty => *byte |= self.mask,
        }
        Some(before)
    }

    fn index(self, page_start: u64) -> Option<usize> {
        usize::try_from(self.byte.checked_sub(page_start)?).ok()
    }

    fn of_byte(self, byte: u8) -> Bit {
        if byte & self.mask == 0 {
            Bit::Clean
        } else {
            Bit::Dirty
        }
    }
}

/// The dirty ones of the first `chunks` chunks in `bitmap`, a classic bitmap from its superblock on; it ends early when
/// the bytes do.
pub fn dirty_chunks(
    bitmap: &[u8],
    chunks: u64,
    order: BitOrder,
) -> impl Iterator<Item = BitmapChunk> + '_ {
    let bits = (0..chunks).map(BitmapChunk::new);
    let bits = bits.map_while(move |chunk| Some((chunk, BitAt::of(chunk, order).read(bitmap, 0)?)));
    bits.filter_map(|(chunk, bit)| (bit == Bit::Dirty).then_some(chunk))
}

/// The byte of `chunk` in a lockless bitmap, counted from its superblock, or `None` beyond 2^64.
pub const fn lockless_byte(chunk: BitmapChunk) -> Option<u64> {
    chunk.get().checked_add(LOCKLESS_DATA_AT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_start_behind_the_superblock() {
        let at = BitAt::of(BitmapChunk::new(11), BitOrder::LittleEndian);
        assert_eq!((at.byte, at.mask), (257, 8));
        let mut page = [0; 4];
        assert_eq!(at.write(&mut page, 256, Bit::Dirty), Some(Bit::Clean));
        assert_eq!(page, [0, 8, 0, 0]);
        assert_eq!(at.read(&page, 256), Some(Bit::Dirty));
        assert_eq!(at.read(&page, 258), None);
        assert_eq!(at.read(&page, 0), None);
        assert_eq!(at.write(&mut page, 256, Bit::Clean), Some(Bit::Dirty));
        assert_eq!(page, [0; 4]);
    }

    #[test]
    fn host_order_is_a_word_in_memory() {
        let word = (1_usize << 13).to_ne_bytes();
        let at = BitAt::of(BitmapChunk::new(13), BitOrder::Host);
        assert_eq!(at.read(&word, 256), Some(Bit::Dirty));
    }

    #[test]
    fn dirty_chunks_are_listed_up_to_the_end() {
        let mut bitmap = [0; 258];
        bitmap[256] = 0b1000_0001;
        bitmap[257] = 0b10;
        let list = |chunks| -> std::vec::Vec<u64> {
            dirty_chunks(&bitmap, chunks, BitOrder::LittleEndian)
                .map(BitmapChunk::get)
                .collect()
        };
        assert_eq!(list(7), [0]);
        assert_eq!(list(10), [0, 7, 9]);
        assert_eq!(list(1000), [0, 7, 9]);
    }
}
