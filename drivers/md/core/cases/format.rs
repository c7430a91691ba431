// SPDX-License-Identifier: GPL-2.0

//! Cases of [`format`](crate::format): superblocks laid out by the compiler, byte by byte, so that a kernel checks what
//! it will read from disk; and the numbers of formats that differ between hosts.

use super::{ensure, Case, Suite, Verdict};
use crate::format::badblocks;
use crate::format::bitmap::{Bit, BitAt, BitOrder, BitmapError, BitmapSb, Kind};
use crate::format::crc::crc32c;
use crate::format::level::Level;
use crate::format::sb1::{Device, Features, MinorVersion, Role, Sb1, Sb1Error};
use crate::format::{sb0, BlockSize, NewFeatures};
use crate::units::{BitmapChunk, Sectors};

/// Every case of the formats.
pub(super) const SUITE: Suite = Suite {
    name: "format",
    cases: &[
        Case {
            name: "a_superblock_laid_out_by_hand_parses",
            run: by_hand,
        },
        Case {
            name: "a_flipped_bit_is_noticed",
            run: flipped,
        },
        Case {
            name: "superblocks_lie_where_c_md_looks",
            run: placement,
        },
        Case {
            name: "roles_and_levels_keep_their_numbers",
            run: numbers,
        },
        Case {
            name: "bitmap_versions_are_told_apart",
            run: bitmap_versions,
        },
        Case {
            name: "bits_lie_where_the_host_looks",
            run: bits,
        },
        Case {
            name: "bad_blocks_round_trip",
            run: bad_blocks,
        },
        Case {
            name: "crc32c_is_the_kernels",
            run: crc,
        },
    ],
};

/// Length of the member the superblock lies on.
const MEMBER: Device = Device {
    sectors: Sectors::new(204_800),
    block: BlockSize::SECTOR,
};

/// A 1.2 superblock of a raid1 array of two, the second its own; a bitmap behind it.
static RAID1: [u8; 4096] = raid1();

/// The same with one bit of the name flipped.
static FLIPPED: [u8; 4096] = flip(raid1());

const fn put(mut block: [u8; 4096], at: usize, value: u64, len: usize) -> [u8; 4096] {
    let bytes = value.to_le_bytes();
    let mut i = 0;
    while i < len {
        block[at + i] = bytes[i];
        i += 1;
    }
    block
}

const fn flip(mut block: [u8; 4096]) -> [u8; 4096] {
    block[40] ^= 0x10;
    block
}

const fn raid1() -> [u8; 4096] {
    let mut block = [0; 4096];
    block = put(block, 0, 0xa92b_4efc, 4);
    block = put(block, 4, 1, 4);
    block = put(block, 8, 1, 4);
    block = put(block, 72, 1, 4);
    block = put(block, 80, 202_752, 8);
    block = put(block, 92, 2, 4);
    block = put(block, 96, 8, 4);
    block = put(block, 128, 2048, 8);
    block = put(block, 136, 202_752, 8);
    block = put(block, 144, 8, 8);
    block = put(block, 160, 1, 4);
    block = put(block, 200, 17, 8);
    block = put(block, 208, u64::MAX, 8);
    block = put(block, 220, 2, 4);
    block = put(block, 258, 1, 2);
    // The words added up: 0xa92b4efc + 1 + 1 + 1 + 202752 + 2 + 8 + 2048 + 202752 + 8 + 1 + 17 + 2 * 0xffffffff + 2
    // + 0x10000, carries added in once.
    let sum = 0xa92b_4efc
        + 1
        + 1
        + 1
        + 202_752
        + 2
        + 8
        + 2048
        + 202_752
        + 8
        + 1
        + 17
        + 2 * 0xffff_ffff
        + 2
        + 0x1_0000;
    put(block, 216, (sum & 0xffff_ffff) + (sum >> 32), 4)
}

fn parse(block: &[u8]) -> Result<Sb1<'_>, Sb1Error> {
    Sb1::parse(block, MinorVersion::V1_2, MEMBER, NewFeatures::Refuse)
}

fn by_hand() -> Verdict {
    let Ok(sb) = parse(&RAID1) else {
        return ensure(false, "the superblock parses", 0);
    };
    ensure(sb.array().level == Level::Raid1, "level", 72)?;
    ensure(sb.array().raid_disks == 2, "raid_disks", 92)?;
    ensure(sb.array().events.get() == 17, "events", 200)?;
    ensure(sb.features() == Features::BITMAP_OFFSET, "features", 8)?;
    ensure(sb.member().data.offset.get() == 2048, "data_offset", 128)?;
    ensure(
        matches!(sb.role(), Role::Active(slot) if slot.get() == 1),
        "role",
        258,
    )
}

fn flipped() -> Verdict {
    let noticed = matches!(parse(&FLIPPED), Err(Sb1Error::Checksum { .. }));
    ensure(noticed, "the checksum does not match", 40)
}

fn placement() -> Verdict {
    let rows = [
        (100, 80, 0),
        (128, 112, 0),
        (204_800, 204_784, 204_672),
        (204_807, 204_784, 204_672),
    ];
    for (device, end, old) in rows {
        let sectors = Sectors::new(device);
        let at = |minor: MinorVersion| minor.superblock(sectors).map(|at| at.get());
        ensure(at(MinorVersion::V1_0) == Some(end), "1.0", device)?;
        ensure(at(MinorVersion::V1_1) == Some(0), "1.1", device)?;
        ensure(at(MinorVersion::V1_2) == Some(8), "1.2", device)?;
        let wanted = (device >= 128).then_some(old);
        ensure(
            sb0::superblock(sectors).map(|at| at.get()) == wanted,
            "0.90",
            device,
        )?;
    }
    Ok(())
}

fn numbers() -> Verdict {
    for raw in 0..=u16::MAX {
        ensure(
            Role::from_raw(raw).to_raw() == raw,
            "a role keeps its number",
            u64::from(raw),
        )?;
    }
    let rows = [
        (-1, Level::Linear),
        (0, Level::Raid0),
        (1, Level::Raid1),
        (4, Level::Raid4),
        (10, Level::Raid10),
    ];
    for (at, (number, level)) in (0..).zip(rows) {
        ensure(
            Level::from_number(number) == level,
            "a number has its level",
            at,
        )?;
        ensure(level.number() == number, "a level has its number", at)?;
    }
    Ok(())
}

fn bitmap_versions() -> Verdict {
    let mut bytes = [0_u8; 256];
    for (at, byte) in [(0, b'b'), (1, b'i'), (2, b't'), (3, b'm'), (53, 2), (56, 5)] {
        if let Some(place) = bytes.get_mut(at) {
            *place = byte;
        }
    }
    for version in 0..9_u8 {
        bytes[4] = version;
        let kind = BitmapSb::parse(&bytes).map(|sb| sb.kind);
        let right = match version {
            3 => matches!(kind, Ok(Kind::HostEndian(chunk)) if chunk.shift() == 0),
            4 => matches!(kind, Ok(Kind::Classic(chunk)) if chunk.shift() == 0),
            5 => matches!(kind, Ok(Kind::Clustered { nodes: 0, .. })),
            6 => matches!(kind, Ok(Kind::Lockless(chunk)) if chunk.shift() == 9),
            _ => kind == Err(BitmapError::Version(u32::from(version))),
        };
        ensure(right, "a version has its kind", u64::from(version))?;
    }
    Ok(())
}

fn bits() -> Verdict {
    for chunk in 0..64_u8 {
        let index = u64::from(chunk);
        let word = (1_u64 << chunk).to_le_bytes();
        let at = BitAt::of(BitmapChunk::new(index), BitOrder::LittleEndian);
        ensure(
            at.read(&word, 256) == Some(Bit::Dirty),
            "little-endian",
            index,
        )?;
        // A host's bit of a host's word, on a host of 32 bits in the first or the second word.
        let Some(bit) = 1_usize.checked_shl(u32::from(chunk) % usize::BITS) else {
            return ensure(false, "a shift within a word", index);
        };
        let start = 256 + u64::from((u32::from(chunk) / usize::BITS) * (usize::BITS / 8));
        let at = BitAt::of(BitmapChunk::new(index), BitOrder::Host);
        ensure(
            at.read(&bit.to_ne_bytes(), start) == Some(Bit::Dirty),
            "host order",
            index,
        )?;
    }
    Ok(())
}

fn bad_blocks() -> Verdict {
    let mut log = [0; 64];
    let rows = [(0x1234_u64, 8_u64), (0x3f_ffff_ffff_ffff, 1), (7, 1023)];
    for (start, len) in rows {
        let range =
            crate::units::SectorRange::new(crate::units::Sector::new(start), Sectors::new(len));
        ensure(
            badblocks::encode(&mut log, 0, range) == Ok(1),
            "one entry",
            start,
        )?;
        ensure(
            badblocks::entries(&log, 0).eq(range.map(Ok)),
            "the same entry",
            start,
        )?;
    }
    Ok(())
}

fn crc() -> Verdict {
    ensure(
        !crc32c(!0, b"123456789") == 0xe306_9283,
        "the check value of CRC-32C",
        0,
    )
}
