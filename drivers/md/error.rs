// SPDX-License-Identifier: GPL-2.0

//! From named reasons to errno: the only place where an errno is chosen for an error of `md_core`.

use kernel::{
    error::{code::*, Error},
    prelude::*,
};
use md_core::words::WordError;

/// What md refuses although the interface has it (`EOPNOTSUPP`).
pub(crate) fn not_supported() -> Error {
    Error::from_errno(-95)
}

/// A reason that user space sees as an errno.
pub(crate) trait Errno {
    /// The errno the C driver gives for it.
    fn errno(&self) -> Error;
}

impl Errno for WordError {
    fn errno(&self) -> Error {
        match self {
            Self::TooLarge => ERANGE,
            Self::NameTooLong => E2BIG,
            Self::NoSuchMetadata | Self::NoSuchBitmap => ENOENT,
            Self::DeviceOverflow | Self::ChunkOverflow => EOVERFLOW,
            Self::SlotOverflow => ENOSPC,
            _ => EINVAL,
        }
    }
}

/// Turns named reasons into errnos at the edge of the driver.
pub(crate) trait OrErrno<T> {
    /// The value, or the reason's errno.
    fn or_errno(self) -> Result<T>;
}

impl<T, E: Errno> OrErrno<T> for core::result::Result<T, E> {
    fn or_errno(self) -> Result<T> {
        self.map_err(|reason| reason.errno())
    }
}

impl Errno for md_core::format::sb0::Sb0Error {
    fn errno(&self) -> Error {
        EINVAL
    }
}

impl Errno for md_core::format::sb1::Sb1Error {
    fn errno(&self) -> Error {
        EINVAL
    }
}

impl Errno for md_core::layout::chunk::ChunkError {
    fn errno(&self) -> Error {
        EINVAL
    }
}

impl Errno for md_core::layout::linear::LinearError {
    fn errno(&self) -> Error {
        EINVAL
    }
}

impl Errno for md_core::layout::raid0::Raid0Error {
    fn errno(&self) -> Error {
        match self {
            Self::UnknownOrder => not_supported(),
            _ => EINVAL,
        }
    }
}

impl Errno for md_core::format::sb1::UpdateError {
    fn errno(&self) -> Error {
        EINVAL
    }
}

impl Errno for md_core::format::sb0::RecordError {
    fn errno(&self) -> Error {
        EINVAL
    }
}

impl Errno for md_core::assemble::NoStart {
    fn errno(&self) -> Error {
        match self {
            Self::NoMember | Self::Level(_) => EINVAL,
            Self::Clustered => ENOENT,
            // What C md reshapes, and we do not yet.
            Self::Reshaping { level, .. } if level.has_parity() => not_supported(),
            Self::Reshaping { .. } => EINVAL,
            Self::TooFew { .. } | Self::DirtyDegraded { .. } => EIO,
        }
    }
}

impl Errno for md_core::state::member::Illegal {
    fn errno(&self) -> Error {
        match self {
            Self::NoPlace | Self::Journal | Self::NotReplacement | Self::NotRebuilding => EINVAL,
            _ => EBUSY,
        }
    }
}

impl Errno for md_core::state::sync::Illegal {
    fn errno(&self) -> Error {
        match self {
            Self::CannotReshape => EINVAL,
            _ => EBUSY,
        }
    }
}

impl Errno for md_core::state::takeover::Refusal {
    fn errno(&self) -> Error {
        match self {
            Self::HasBitmap => EBUSY,
            _ => EINVAL,
        }
    }
}

impl Errno for md_core::state::request::Refusal {
    fn errno(&self) -> Error {
        match self {
            Self::NotRunning | Self::JournalMissing => EINVAL,
            Self::InUse | Self::WritesInFlight | Self::ManagerPending => EBUSY,
            Self::AlreadyReadOnly => ENXIO,
            Self::MemberReadOnly => EROFS,
        }
    }
}
