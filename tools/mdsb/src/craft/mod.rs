// SPDX-License-Identifier: GPL-2.0

//! Makes a test image from a description in TOML: a sparse file with a superblock, a bitmap, a bad-block log, a journal
//! or a partial parity log, and with whatever damage is asked for.

mod spec;
mod write;

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt as _,
};

use crate::failure::Failure;

/// A run of bytes of an image.
struct Piece {
    at_byte: u64,
    bytes: Vec<u8>,
}

/// Makes `out` as the file `spec` describes it; an existing file is left alone.
pub fn craft(spec: &str, out: &str) -> Result<(), Failure> {
    let text = fs::read_to_string(spec).map_err(|error| Failure::io("read", spec, error))?;
    let invalid =
        |error: toml::de::Error| Failure::Spec(format!("{spec}: {}", error.to_string().trim_end()));
    let image: spec::Image = toml::from_str(&text).map_err(invalid)?;
    let pieces = write::pieces(&image).map_err(|why| Failure::Spec(format!("{spec}: {why}")))?;
    let failed = |error| Failure::io("write", out, error);
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(out)
        .map_err(failed)?;
    write_out(&file, image.sectors.saturating_mul(512), &pieces).map_err(|error| {
        // It is ours, and of no use.
        let _ = fs::remove_file(out);
        failed(error)
    })
}

fn write_out(file: &File, end: u64, pieces: &[Piece]) -> io::Result<()> {
    file.set_len(end)?;
    for piece in pieces {
        // The image is as long as it was to be: the rest of what does not fit is left out.
        let room = usize::try_from(end.saturating_sub(piece.at_byte)).unwrap_or(usize::MAX);
        let bytes = piece.bytes.get(..room).unwrap_or(&piece.bytes);
        file.write_all_at(bytes, piece.at_byte)?;
    }
    Ok(())
}
