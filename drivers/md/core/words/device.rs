// SPDX-License-Identifier: GPL-2.0

//! Device numbers as user space writes them: `major:minor` text and the 32-bit word of ioctl arguments.

use core::fmt;

use super::number::{leading, Radix};
use super::{line, WordError};

const MINOR_BITS: u32 = 20;
const MAJOR_MAX: u32 = 0xfff;
const MINOR_MAX: u32 = (1 << MINOR_BITS) - 1;

/// A device's major number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Major(pub u32);

/// A device's minor number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Minor(pub u32);

/// The number of a block device.
///
/// # Invariants
///
/// The major number has at most 12 bits, the minor at most 20.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceNumber {
    major: u32,
    minor: u32,
}

impl DeviceNumber {
    /// Puts the two parts together.
    ///
    /// # Errors
    ///
    /// [`WordError::DeviceOverflow`] when one does not fit.
    pub const fn new(major: Major, minor: Minor) -> Result<Self, WordError> {
        if major.0 > MAJOR_MAX || minor.0 > MINOR_MAX {
            return Err(WordError::DeviceOverflow);
        }
        // INVARIANT: both clauses were checked just above.
        Ok(Self {
            major: major.0,
            minor: minor.0,
        })
    }

    /// The kernel's own form (`MKDEV()`).
    pub const fn to_kernel(self) -> u32 {
        (self.major << MINOR_BITS) | self.minor
    }

    /// From the kernel's own form (`MAJOR()`, `MINOR()`).
    pub const fn from_kernel(dev: u32) -> Self {
        // INVARIANT: a shift by 20 leaves 12 bits, the mask leaves 20.
        Self {
            major: dev >> MINOR_BITS,
            minor: dev & MINOR_MAX,
        }
    }

    /// From the argument of `HOT_REMOVE_DISK`, `HOT_ADD_DISK` and `SET_DISK_FAULTY` (`new_decode_dev()`).
    pub const fn from_user(dev: u32) -> Self {
        // INVARIANT: the masks leave 12 and 20 bits.
        Self {
            major: (dev & 0xf_ff00) >> 8,
            minor: (dev & 0xff) | ((dev >> 12) & 0xf_ff00),
        }
    }

    /// The form user space passes (`new_encode_dev()`).
    pub const fn to_user(self) -> u32 {
        (self.minor & 0xff) | (self.major << 8) | ((self.minor & !0xff) << 12)
    }

    /// Major number.
    pub const fn major(self) -> Major {
        Major(self.major)
    }

    /// Minor number.
    pub const fn minor(self) -> Minor {
        Minor(self.minor)
    }

    /// Reads `major:minor` as written to `new_dev`.
    ///
    /// # Errors
    ///
    /// [`WordError::NotANumber`] (`EINVAL`), [`WordError::DeviceOverflow`] (`EOVERFLOW`).
    pub fn parse(written: &[u8]) -> Result<Self, WordError> {
        let part = |text| match leading(text, Radix::Decimal) {
            // A number that fits no integer fits no device number either.
            Err(WordError::TooLarge) => Err(WordError::DeviceOverflow),
            result => result,
        };
        let (major, rest) = part(line(written))?;
        let (minor, rest) = part(rest.strip_prefix(b":").ok_or(WordError::NotANumber)?)?;
        if !rest.is_empty() {
            return Err(WordError::NotANumber);
        }
        match (u32::try_from(major), u32::try_from(minor)) {
            (Ok(major), Ok(minor)) => Self::new(Major(major), Minor(minor)),
            _ => Err(WordError::DeviceOverflow),
        }
    }
}

impl fmt::Display for DeviceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_forms() {
        assert_eq!(
            DeviceNumber::parse(b"8:17\n").map(DeviceNumber::to_kernel),
            Ok((8 << 20) | 17)
        );
        assert_eq!(
            DeviceNumber::parse(b"4096:0"),
            Err(WordError::DeviceOverflow)
        );
        assert_eq!(
            DeviceNumber::parse(b"1:1048576"),
            Err(WordError::DeviceOverflow)
        );
        assert_eq!(
            DeviceNumber::parse(b"99999999999999999999:1"),
            Err(WordError::DeviceOverflow)
        );
        for text in [
            &b"8"[..],
            b"8:",
            b":1",
            b"8:\n",
            b"8:1 ",
            b"8 :1",
            b"",
            b"8:1:2",
        ] {
            assert_eq!(
                DeviceNumber::parse(text),
                Err(WordError::NotANumber),
                "{text:?}"
            );
        }
    }

    #[test]
    fn ioctl_form_goes_both_ways() {
        for dev in [0, 1, (8 << 20) | 17, (259 << 20) | 0xf_ffff, u32::MAX] {
            let number = DeviceNumber::from_kernel(dev);
            assert_eq!(DeviceNumber::from_user(number.to_user()), number);
            assert_eq!(number.to_kernel(), dev);
        }
        assert_eq!(
            DeviceNumber::from_kernel((259 << 20) | 0x12345).to_user(),
            0x1231_0345
        );
    }
}
