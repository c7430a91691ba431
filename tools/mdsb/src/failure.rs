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
    /// The image ends before something it should hold.
    Truncated {
        /// The image.
        path: String,
        /// What lies behind its end.
        what: &'static str,
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
            Self::Truncated { path, what } => {
                write!(f, "{path} is truncated: {what} lies behind its end")
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
