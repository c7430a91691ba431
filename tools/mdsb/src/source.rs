// SPDX-License-Identifier: GPL-2.0

//! A member's device, or an image of it, open for reading.

use md_core::{
    format::BlockSize,
    units::{Sector, Sectors, SECTOR_SIZE},
};
use std::{
    fs::{self, File, Metadata},
    io::{ErrorKind, Seek as _, SeekFrom},
    os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _},
};

use crate::failure::Failure;

/// The most that is read at once: more than the metadata of most arrays needs.
const READ_BYTES_MAX: u64 = 1 << 30;

pub struct Source {
    file: File,
    pub path: String,
    pub sectors: Sectors,
    /// The logical block size; of an image, what its length allows.
    pub block: BlockSize,
}

impl Source {
    pub fn open(path: &str) -> Result<Self, Failure> {
        let failed = |error| Failure::io("open", path, error);
        // Before it is opened: that of a pipe would wait for somebody who writes to it.
        let metadata = fs::metadata(path).map_err(failed)?;
        let kind = metadata.file_type();
        if !kind.is_file() && !kind.is_block_device() {
            return Err(Failure::NotAnImage(path.to_owned()));
        }
        let mut file = File::open(path).map_err(failed)?;
        let bytes = file.seek(SeekFrom::End(0)).map_err(failed)?;
        Ok(Self {
            file,
            path: path.to_owned(),
            sectors: Sectors::new(bytes / u64::from(SECTOR_SIZE)),
            block: logical_block(&metadata).unwrap_or(BlockSize::SECTOR),
        })
    }

    /// Reads `bytes` bytes from `at`; `what` they are is for the message when the image ends before.
    pub fn read(&self, at: Sector, bytes: u64, what: &'static str) -> Result<Vec<u8>, Failure> {
        let truncated = || Failure::Truncated {
            path: self.path.clone(),
            what,
        };
        let start = at
            .get()
            .checked_mul(u64::from(SECTOR_SIZE))
            .ok_or_else(truncated)?;
        let end = self.sectors.to_bytes().unwrap_or(u64::MAX);
        if start.checked_add(bytes).is_none_or(|last| last > end) {
            return Err(truncated());
        }
        let long = || Failure::TooLong {
            what,
            bytes,
            max: READ_BYTES_MAX,
        };
        let len = usize::try_from(bytes).ok();
        let len = len.filter(|_| bytes <= READ_BYTES_MAX).ok_or_else(long)?;
        let mut buffer = vec![0; len];
        match self.file.read_exact_at(&mut buffer, start) {
            Ok(()) => Ok(buffer),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(truncated()),
            Err(error) => Err(Failure::io("read", &self.path, error)),
        }
    }
}

/// The logical block size of a block device, from sysfs; a partition has that of its disk.
fn logical_block(metadata: &Metadata) -> Option<BlockSize> {
    if !metadata.file_type().is_block_device() {
        return None;
    }
    // The user-space form of a device number.
    let device = metadata.rdev();
    let major = ((device >> 8) & 0xfff) | ((device >> 32) & !0xfff);
    let minor = (device & 0xff) | ((device >> 12) & 0xff_ff00);
    let block = ["queue", "../queue"].iter().find_map(|queue| {
        let file = format!("/sys/dev/block/{major}:{minor}/{queue}/logical_block_size");
        fs::read_to_string(file).ok()
    })?;
    BlockSize::new(block.trim().parse().ok()?)
}
