// SPDX-License-Identifier: GPL-2.0

//! The on-disk formats of md: bytes to verified values and back.
//!
//! | module | what | where it lies |
//! |---|---|---|
//! | [`sb1`] | superblock 1.0, 1.1, 1.2 | end, start, or 4 KiB into a member |
//! | [`sb0`] | superblock 0.90, host-endian | the last 64 KiB-aligned 64 KiB of a member |
//! | [`badblocks`] | bad-block log | `bblog_offset` sectors from a 1.x superblock |
//! | [`bitmap`] | bitmap superblock 3 to 6, where bits and bytes lie | `bitmap_offset` from a superblock |
//! | [`ppl`] | partial parity log header | `ppl.offset` from a 1.x superblock |
//! | [`journal`] | raid5 journal meta block | the data area of a journal member |
//! | [`extents`] | whether all of these keep out of each other's way | |
//!
//! The formats are those of `include/uapi/linux/raid/md_p.h` and `drivers/md/md-bitmap.h`. Every parser takes bytes and
//! gives a value whose fields are checked once; nothing read from it later can be out of bounds. Writers change only
//! the fields they own, so unknown bytes survive a read-modify-write.

pub mod badblocks;
pub mod bitmap;
mod bits;
mod bounds;
pub mod crc;
pub mod extents;
pub mod ident;
pub mod journal;
pub mod level;
pub mod ppl;
pub mod sb0;
pub mod sb1;

/// The first word of a 0.90 and of a 1.x superblock (`MD_SB_MAGIC`).
pub const SB_MAGIC: u32 = 0xa92b_4efc;

/// What to do with bytes that are reserved as zero and are not: they may belong to a feature this driver does not know.
///
/// C md's module parameter `check_new_feature`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewFeatures {
    /// Refuse the superblock. The default.
    Refuse,
    /// Use it; whatever the feature protects may be lost.
    Ignore,
}

/// A logical block size: a power of two from 512 bytes to 64 KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlockSize(u32);

impl BlockSize {
    /// 512 bytes, one sector.
    pub const SECTOR: Self = Self(512);
    /// 4 KiB.
    pub const PAGE: Self = Self(4096);

    /// The block size of `bytes`, or `None` when it is not a power of two from 512 to 65536.
    pub const fn new(bytes: u32) -> Option<Self> {
        if bytes.is_power_of_two() && bytes >= 512 && bytes <= 65536 {
            Some(Self(bytes))
        } else {
            None
        }
    }

    /// In bytes.
    pub const fn bytes(self) -> u32 {
        self.0
    }

    /// `bytes` rounded up to whole blocks; saturates, which no length on a device reaches.
    pub fn round_up(self, bytes: u64) -> u64 {
        let size = u64::from(self.0);
        bytes.checked_next_multiple_of(size).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_sizes() {
        for bad in [0, 1, 256, 511, 513, 1000, 131_072] {
            assert_eq!(BlockSize::new(bad), None, "{bad}");
        }
        let four_k = BlockSize::new(4096).expect("a block size");
        assert_eq!(four_k.round_up(0), 0);
        assert_eq!(four_k.round_up(1), 4096);
        assert_eq!(four_k.round_up(4096), 4096);
    }
}
