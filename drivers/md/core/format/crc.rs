// SPDX-License-Identifier: GPL-2.0

//! CRC-32C as the kernel's `crc32c()` computes it: no inversion before or after, the caller passes the running value.
//!
//! Only headers are summed here; the driver sums data with the kernel's own, faster, function.

/// Castagnoli's polynomial, bits reversed.
const POLYNOMIAL: u32 = 0x82f6_3b78;

const TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut i = 0_u32;
    while i < 256 {
        let mut crc = i;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ POLYNOMIAL
            } else {
                crc >> 1
            };
            bit += 1;
        }
        // Evaluated by the compiler, which refuses an index out of bounds.
        table[i as usize] = crc;
        i += 1;
    }
    table
}

/// Goes on from `crc` over `bytes`.
pub fn crc32c(crc: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(crc, |crc, &byte| {
        let [low, ..] = crc.to_le_bytes();
        // An index of 8 bits cannot leave a table of 256.
        TABLE[usize::from(low ^ byte)] ^ (crc >> 8)
    })
}

/// The sum of a block whose four bytes at `field` hold the sum itself and count as zero.
///
/// A `field` beyond the block leaves every byte counted.
pub(super) fn crc32c_without(crc: u32, block: &[u8], field: usize) -> u32 {
    let mut parts = (block, &[][..], &[][..]);
    if let Some((head, rest)) = block.split_at_checked(field) {
        if let Some((_, tail)) = rest.split_at_checked(4) {
            parts = (head, &[0; 4], tail);
        }
    }
    crc32c(crc32c(crc32c(crc, parts.0), parts.1), parts.2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_of_crc_32c() {
        assert_eq!(!crc32c(!0, b"123456789"), 0xe306_9283);
    }

    #[test]
    fn a_field_counts_as_zero() {
        let block = *b"abcdWXYZefgh";
        assert_eq!(crc32c_without(7, &block, 4), crc32c(7, b"abcd\0\0\0\0efgh"));
        assert_eq!(crc32c_without(7, &block, 10), crc32c(7, &block));
    }
}
