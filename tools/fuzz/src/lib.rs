// SPDX-License-Identifier: GPL-2.0

//! What the targets share: taking numbers off the input, and superblocks that get past their checksum.

use md_core::{
    format::{
        sb0::{Sb0, Sb0Error},
        sb1::{Device, MinorVersion, Sb1, Sb1Error, BLOCK_BYTES},
        BlockSize, NewFeatures, SB_MAGIC,
    },
    units::Sectors,
};

/// Takes 8 bytes off the input; zeroes once it has ended.
pub fn number(input: &mut &[u8]) -> u64 {
    let (taken, rest) = input.split_at(input.len().min(8));
    let mut bytes = [0; 8];
    bytes[..taken.len()].copy_from_slice(taken);
    *input = rest;
    u64::from_le_bytes(bytes)
}

/// The input as a block, zeroes behind its end.
pub fn block<const BYTES: usize>(input: &[u8]) -> [u8; BYTES] {
    let mut block = [0; BYTES];
    let len = input.len().min(BYTES);
    block[..len].copy_from_slice(&input[..len]);
    block
}

/// A member of up to 2^40 sectors.
pub fn device(seed: u64) -> Device {
    let block = [512, 4096, 65536][usize::try_from(seed % 3).expect("below 3")];
    Device {
        sectors: Sectors::new(seed >> 24),
        block: BlockSize::new(block).expect("a block size"),
    }
}

/// Makes `block` pass the first checks of a 1.x superblock, so that the fuzzer gets behind them.
pub fn pass_sb1(block: &mut [u8; BLOCK_BYTES], minor: MinorVersion, device: Device) {
    block[..4].copy_from_slice(&SB_MAGIC.to_le_bytes());
    block[4..8].copy_from_slice(&1_u32.to_le_bytes());
    if let Some(at) = minor.superblock(device.sectors) {
        block[144..152].copy_from_slice(&at.get().to_le_bytes());
    }
    if let Err(Sb1Error::Checksum { computed, .. }) =
        Sb1::parse(block, minor, device, NewFeatures::Ignore)
    {
        block[216..220].copy_from_slice(&computed.to_le_bytes());
    }
}

/// The same for a 0.90 superblock.
pub fn pass_sb0(block: &mut [u8; BLOCK_BYTES], device: Sectors) {
    block[..4].copy_from_slice(&SB_MAGIC.to_ne_bytes());
    if let Err(Sb0Error::Checksum { computed, .. }) = Sb0::parse(block, device) {
        block[152..156].copy_from_slice(&computed.to_ne_bytes());
    }
}
