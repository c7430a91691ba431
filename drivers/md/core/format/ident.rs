// SPDX-License-Identifier: GPL-2.0

//! What names an array and dates it: its UUID and the times in its superblocks.

use core::fmt;

/// The 16 bytes that name an array, in the order they have on disk.
///
/// A 0.90 superblock keeps them as four host-endian words; [`Uuid::bytes`] is then the memory of those words, which is
/// also what C md keeps and hashes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Uuid([u8; 16]);

impl Uuid {
    /// The UUID with these bytes.
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn bytes(self) -> [u8; 16] {
        self.0
    }
}

impl fmt::Display for Uuid {
    /// As mdadm prints the UUID of a 1.x array: four groups of eight hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            if i != 0 && i % 4 == 0 {
                f.write_str(":")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// A time of a 1.x superblock: 40 bits of seconds since 1970 and 24 bits of microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct SbTime(u64);

/// The bits of a [`SbTime`] that count seconds (`MD_SUPERBLOCK_1_TIME_SEC_MASK`).
const SECONDS_MASK: u64 = (1 << 40) - 1;
/// How far the microseconds are shifted up.
const MICROS_SHIFT: u32 = 40;

impl SbTime {
    /// `seconds` and `micros` since 1970, or `None` when seconds need more than 40 bits or micros is a second or more.
    pub fn new(seconds: u64, micros: u32) -> Option<Self> {
        if seconds > SECONDS_MASK || micros >= 1_000_000 {
            return None;
        }
        Some(Self((u64::from(micros) << MICROS_SHIFT) | seconds))
    }

    /// Any number on disk is a time; microseconds of a second or more stay as they are.
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// The number on disk.
    pub const fn to_raw(self) -> u64 {
        self.0
    }

    /// Seconds since 1970, 40 bits.
    pub const fn seconds(self) -> u64 {
        self.0 & SECONDS_MASK
    }

    /// The part below a second, in microseconds, 24 bits.
    pub const fn micros(self) -> u64 {
        self.0 >> MICROS_SHIFT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_split_at_40_bits() {
        let t = SbTime::new(0xff_1234_5678, 999_999).expect("a time");
        assert_eq!((t.seconds(), t.micros()), (0xff_1234_5678, 999_999));
        assert_eq!(SbTime::from_raw(t.to_raw()), t);
        assert_eq!(SbTime::new(1 << 40, 0), None);
        assert_eq!(SbTime::new(0, 1_000_000), None);
    }

    #[test]
    fn a_uuid_prints_as_mdadm_does() {
        let uuid = Uuid::new([0xa1, 0xb2, 0xc3, 0xd4, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
        assert_eq!(
            std::format!("{uuid}"),
            "a1b2c3d4:00010203:04050607:08090a0b"
        );
    }
}
