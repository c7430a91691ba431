// SPDX-License-Identifier: GPL-2.0

//! The 256 bytes of a 1.x superblock as they lie on disk (`struct mdp_superblock_1`), and their checksum.

use zerocopy::byteorder::little_endian::{U16, U32, U64};
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The fixed part of a superblock; a table of roles, two bytes per device, follows it.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct Raw {
    pub(super) magic: U32,
    pub(super) major_version: U32,
    pub(super) feature_map: U32,
    pub(super) pad0: U32,
    pub(super) set_uuid: [u8; 16],
    pub(super) set_name: [u8; 32],
    pub(super) ctime: U64,
    pub(super) level: U32,
    pub(super) layout: U32,
    pub(super) size: U64,
    pub(super) chunksize: U32,
    pub(super) raid_disks: U32,
    /// `bitmap_offset`, signed; or `ppl.offset`, signed 16 bits, below `ppl.size`, 16 bits.
    pub(super) bitmap_or_ppl: U32,
    pub(super) new_level: U32,
    pub(super) reshape_position: U64,
    pub(super) delta_disks: U32,
    pub(super) new_layout: U32,
    pub(super) new_chunk: U32,
    pub(super) new_offset: U32,
    pub(super) data_offset: U64,
    pub(super) data_size: U64,
    pub(super) super_offset: U64,
    /// `recovery_offset`; `journal_tail` on a journal.
    pub(super) recovery_or_tail: U64,
    pub(super) dev_number: U32,
    pub(super) cnt_corrected_read: U32,
    pub(super) device_uuid: [u8; 16],
    pub(super) devflags: u8,
    pub(super) bblog_shift: u8,
    pub(super) bblog_size: U16,
    pub(super) bblog_offset: U32,
    pub(super) utime: U64,
    pub(super) events: U64,
    pub(super) resync_offset: U64,
    pub(super) sb_csum: U32,
    pub(super) max_dev: U32,
    pub(super) logical_block_size: U32,
    pub(super) pad3: [u8; 28],
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<Raw>() == super::HEADER_BYTES);
    assert!(offset_of!(Raw, ctime) == 64);
    assert!(offset_of!(Raw, bitmap_or_ppl) == 96);
    assert!(offset_of!(Raw, data_offset) == 128);
    assert!(offset_of!(Raw, device_uuid) == 168);
    assert!(offset_of!(Raw, bblog_offset) == 188);
    assert!(offset_of!(Raw, sb_csum) == CSUM_AT);
    assert!(offset_of!(Raw, logical_block_size) == 224);
};

/// Where [`Raw::sb_csum`] lies.
const CSUM_AT: usize = 216;

/// The checksum of `bytes`, a whole superblock with its roles: the sum of its words, and of the last half word, with
/// the checksum's own word taken as zero and the carries added in once (`calc_sb_1_csum`).
pub(super) fn checksum(bytes: &[u8]) -> u32 {
    let words = bytes.chunks_exact(4);
    let half = words
        .remainder()
        .first_chunk()
        .map_or(0, |half| u64::from(u16::from_le_bytes(*half)));
    let whole = words
        .filter_map(|word| word.first_chunk())
        .map(|word| u64::from(u32::from_le_bytes(*word)))
        .fold(0, u64::wrapping_add);
    let own = bytes
        .get(CSUM_AT..)
        .and_then(|b| b.first_chunk())
        .map_or(0, |own| u64::from(u32::from_le_bytes(*own)));
    // Nothing wraps: at most 2^10 words of 32 bits are added, and `own` is one of them.
    let sum = whole.wrapping_add(half).wrapping_sub(own);
    let [a, b, c, d, e, f, g, h] = sum.to_le_bytes();
    u32::from_le_bytes([a, b, c, d]).wrapping_add(u32::from_le_bytes([e, f, g, h]))
}
