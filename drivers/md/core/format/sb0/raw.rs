// SPDX-License-Identifier: GPL-2.0

//! The 4096 bytes of a 0.90 superblock as they lie on disk (`mdp_super_t`): words of the host that wrote them.

use zerocopy::byteorder::native_endian::{U32, U64};
use zerocopy::IntoBytes as _;
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{BLOCK_BYTES, DEVICES_MAX};

/// A device (`mdp_disk_t`).
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct RawDisk {
    pub(super) number: U32,
    pub(super) major: U32,
    pub(super) minor: U32,
    pub(super) raid_disk: U32,
    pub(super) state: U32,
    pub(super) reserved: [U32; 27],
}

/// Two words that hold 64 bits, the low one first on a little-endian host.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(transparent)]
pub(super) struct Count(U64);

impl Count {
    pub(super) fn get(self) -> u64 {
        self.0.get()
    }

    pub(super) fn new(value: u64) -> Self {
        Self(U64::new(value))
    }
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct Raw {
    pub(super) magic: U32,
    pub(super) major_version: U32,
    pub(super) minor_version: U32,
    pub(super) patch_version: U32,
    pub(super) gvalid_words: U32,
    pub(super) set_uuid0: [u8; 4],
    pub(super) ctime: U32,
    pub(super) level: U32,
    /// KiB.
    pub(super) size: U32,
    pub(super) nr_disks: U32,
    pub(super) raid_disks: U32,
    pub(super) md_minor: U32,
    pub(super) not_persistent: U32,
    pub(super) set_uuid1: [u8; 12],
    pub(super) gstate_creserved: [U32; 16],
    pub(super) utime: U32,
    pub(super) state: U32,
    pub(super) active_disks: U32,
    pub(super) working_disks: U32,
    pub(super) failed_disks: U32,
    pub(super) spare_disks: U32,
    pub(super) sb_csum: U32,
    pub(super) events: Count,
    pub(super) cp_events: Count,
    pub(super) recovery_cp: U32,
    pub(super) reshape_position: Count,
    pub(super) new_level: U32,
    pub(super) delta_disks: U32,
    pub(super) new_layout: U32,
    /// Bytes.
    pub(super) new_chunk: U32,
    pub(super) gstate_sreserved: [U32; 14],
    pub(super) layout: U32,
    /// Bytes.
    pub(super) chunk_size: U32,
    pub(super) root_pv: U32,
    pub(super) root_block: U32,
    pub(super) pstate_reserved: [U32; 60],
    pub(super) disks: [RawDisk; DEVICES_MAX as usize],
    pub(super) this_disk: RawDisk,
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<Raw>() == BLOCK_BYTES);
    assert!(offset_of!(Raw, utime) == 4 * 32);
    assert!(offset_of!(Raw, sb_csum) == 4 * 38);
    assert!(offset_of!(Raw, recovery_cp) == 4 * 43);
    assert!(offset_of!(Raw, new_chunk) == 4 * 49);
    assert!(offset_of!(Raw, layout) == 4 * 64);
    assert!(offset_of!(Raw, disks) == 4 * 128);
    assert!(offset_of!(Raw, this_disk) == 4 * 992);
};

impl Raw {
    /// The sum of all words but the sum itself, the carries added in once (`calc_sb_csum`).
    pub(super) fn checksum(&self) -> u32 {
        let words = self
            .as_bytes()
            .chunks_exact(4)
            .filter_map(|word| word.first_chunk());
        let words = words.map(|word| u64::from(u32::from_ne_bytes(*word)));
        let whole = words.fold(0, u64::wrapping_add);
        // Nothing wraps: at most 2^10 words of 32 bits are added, and the stored sum is one of them.
        let [a, b, c, d, e, f, g, h] = whole
            .wrapping_sub(u64::from(self.sb_csum.get()))
            .to_le_bytes();
        u32::from_le_bytes([a, b, c, d]).wrapping_add(u32::from_le_bytes([e, f, g, h]))
    }

    pub(super) fn uuid(&self) -> [u8; 16] {
        let ([a, b, c, d], [e, f, g, h, i, j, k, l, m, n, o, p]) = (self.set_uuid0, self.set_uuid1);
        [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
    }

    pub(super) fn set_uuid(&mut self, [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]: [u8; 16]) {
        self.set_uuid0 = [a, b, c, d];
        self.set_uuid1 = [e, f, g, h, i, j, k, l, m, n, o, p];
    }
}

/// A sum as it is compared: folded to 16 bits, because old kernels stored it so on some machines (`md_csum_fold`).
pub(super) fn fold(sum: u32) -> u32 {
    let once = (sum & 0xffff) + (sum >> 16);
    (once & 0xffff) + (once >> 16)
}
