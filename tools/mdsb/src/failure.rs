// SPDX-License-Identifier: GPL-2.0

//! Why a command could not do its work: one line each.

use std::{fmt, io};

/// Why a command stopped.
#[derive(Debug)]
pub enum Failure {
    /// A file could not be opened, read or written.
    Io {
        /// What was tried.
        verb: &'static str,
        /// The file.
        path: String,
        /// Why it failed.
        error: io::Error,
    },
    /// Neither a block device nor a regular file.
    NotAnImage(String),
    /// A file that is there already and is not to be replaced.
    InTheWay {
        /// The file.
        path: String,
        /// Why it stays.
        why: &'static str,
    },
    /// The image ends before something it should hold.
    Truncated {
        /// The image.
        path: String,
        /// What lies behind its end.
        what: &'static str,
    },
    /// More than is read at once.
    TooLong {
        /// What it is.
        what: &'static str,
        /// How long it is.
        bytes: u64,
        /// How much is read.
        max: u64,
    },
    /// No superblock where any version has one.
    NotMd(String),
    /// A superblock that is refused.
    Refused {
        /// Its version.
        version: String,
        /// Why.
        reason: String,
    },
    /// The array has no bitmap, or none that can be read.
    NoBitmap(String),
    /// A description of an image that cannot be made.
    Spec(String),
}

impl Failure {
    pub fn io(verb: &'static str, path: &str, error: io::Error) -> Self {
        Self::Io {
            verb,
            path: path.to_owned(),
            error,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { verb, path, error } => write!(f, "cannot {verb} {path}: {error}"),
            Self::NotAnImage(path) => write!(f, "{path} is neither a block device nor a file"),
            Self::InTheWay { path, why } => write!(f, "{path} is there already: {why}"),
            Self::Truncated { path, what } => {
                write!(f, "{path} is truncated: {what} lies behind its end")
            }
            Self::TooLong { what, bytes, max } => {
                write!(
                    f,
                    "{what} takes {bytes} bytes, more than the {max} that are read"
                )
            }
            Self::NotMd(path) => write!(f, "{path} is no md member: no superblock of any version"),
            Self::Refused { version, reason } => {
                write!(f, "superblock {version} is refused: {reason}")
            }
            Self::NoBitmap(why) => write!(f, "no bitmap: {why}"),
            Self::Spec(why) => write!(f, "{why}"),
        }
    }
}
