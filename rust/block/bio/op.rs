// SPDX-License-Identifier: GPL-2.0

//! What a bio does: its operation and its flags.
//!
//! C header: [`include/linux/blk_types.h`](srctree/include/linux/blk_types.h)

use crate::bindings;
use core::ops::{BitOr, BitOrAssign};

/// The bits of `bi_opf` that name the operation; the rest are flags.
pub(crate) const OP_MASK: u32 = (1 << bindings::REQ_OP_BITS) - 1;

/// An operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Reads data.
    Read,
    /// Writes data, and may carry a flush ([`Flags::PREFLUSH`]).
    Write,
    /// Drops the contents of a range.
    Discard,
    /// Drops the contents of a range and all copies of it.
    SecureErase,
    /// Fills a range with zeroes.
    WriteZeroes,
    /// Any other, by its number.
    Other(u8),
}

impl Op {
    #[inline(always)]
    pub(crate) const fn from_raw(opf: bindings::blk_opf_t) -> Self {
        match opf & OP_MASK {
            bindings::req_op_REQ_OP_READ => Self::Read,
            bindings::req_op_REQ_OP_WRITE => Self::Write,
            bindings::req_op_REQ_OP_DISCARD => Self::Discard,
            bindings::req_op_REQ_OP_SECURE_ERASE => Self::SecureErase,
            bindings::req_op_REQ_OP_WRITE_ZEROES => Self::WriteZeroes,
            // The mask keeps eight bits.
            other => Self::Other((other & 0xff) as u8),
        }
    }
}

/// The operations that carry no data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dataless {
    /// Empties the volatile cache of the device: an empty write with [`Flags::PREFLUSH`].
    Flush,
    /// [`Op::Discard`].
    Discard,
    /// [`Op::WriteZeroes`].
    WriteZeroes,
}

impl Dataless {
    #[inline(always)]
    pub(crate) const fn as_raw(self) -> bindings::blk_opf_t {
        match self {
            Self::Flush => bindings::req_op_REQ_OP_WRITE | Flags::PREFLUSH.0,
            Self::Discard => bindings::req_op_REQ_OP_DISCARD,
            Self::WriteZeroes => bindings::req_op_REQ_OP_WRITE_ZEROES,
        }
    }
}

/// The direction of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the device.
    Read,
    /// To the device.
    Write,
}

impl Direction {
    #[inline(always)]
    pub(crate) const fn as_raw(self) -> bindings::blk_opf_t {
        match self {
            Self::Read => bindings::req_op_REQ_OP_READ,
            Self::Write => bindings::req_op_REQ_OP_WRITE,
        }
    }
}

/// A set of request flags (`REQ_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Flags(u32);

impl Flags {
    /// None.
    pub const NONE: Self = Self(0);
    /// Somebody waits for it.
    pub const SYNC: Self = Self(1 << bindings::req_flag_bits___REQ_SYNC);
    /// File system or array metadata.
    pub const META: Self = Self(1 << bindings::req_flag_bits___REQ_META);
    /// Must not be merged with others.
    pub const NOMERGE: Self = Self(1 << bindings::req_flag_bits___REQ_NOMERGE);
    /// More is likely to follow.
    pub const IDLE: Self = Self(1 << bindings::req_flag_bits___REQ_IDLE);
    /// The data is on the medium when it ends.
    pub const FUA: Self = Self(1 << bindings::req_flag_bits___REQ_FUA);
    /// The cache of the device is emptied first.
    pub const PREFLUSH: Self = Self(1 << bindings::req_flag_bits___REQ_PREFLUSH);
    /// Read ahead: may fail at any time, and means nothing by it.
    pub const RAHEAD: Self = Self(1 << bindings::req_flag_bits___REQ_RAHEAD);
    /// In the background.
    pub const BACKGROUND: Self = Self(1 << bindings::req_flag_bits___REQ_BACKGROUND);
    /// Fails rather than waits.
    pub const NOWAIT: Self = Self(1 << bindings::req_flag_bits___REQ_NOWAIT);
    /// All or nothing; must not be split.
    pub const ATOMIC: Self = Self(1 << bindings::req_flag_bits___REQ_ATOMIC);
    /// Zeroes must be written, not unmapped.
    pub const NOUNMAP: Self = Self(1 << bindings::req_flag_bits___REQ_NOUNMAP);
    /// Errors of device and transport are reported at once, without retries by the lower driver.
    pub const FAILFAST: Self = Self(
        1 << bindings::req_flag_bits___REQ_FAILFAST_DEV
            | 1 << bindings::req_flag_bits___REQ_FAILFAST_TRANSPORT,
    );

    #[inline(always)]
    pub(crate) const fn from_raw(opf: bindings::blk_opf_t) -> Self {
        Self(opf & !OP_MASK)
    }

    #[inline(always)]
    pub(crate) const fn as_raw(self) -> bindings::blk_opf_t {
        self.0
    }

    /// Whether all of `other` are here.
    #[inline(always)]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any of `other` is here.
    #[inline(always)]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Both sets, usable in constants.
    #[inline(always)]
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOr for Flags {
    type Output = Self;

    #[inline(always)]
    fn bitor(self, other: Self) -> Self {
        self.with(other)
    }
}

impl BitOrAssign for Flags {
    #[inline(always)]
    fn bitor_assign(&mut self, other: Self) {
        *self = self.with(other);
    }
}
