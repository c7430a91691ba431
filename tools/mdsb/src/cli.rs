// SPDX-License-Identifier: GPL-2.0

//! The command line.

use clap::{Args, Parser, Subcommand};

/// Shows, checks, compares and makes the metadata of md (Linux software RAID) members. Devices are opened read-only.
///
/// Exit status: 0 fine, 1 findings or differences, 2 an error: not md, or not readable.
#[derive(Parser)]
#[command(version)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Show superblock, bitmap superblock, logs and bad blocks of a member.
    Show {
        /// A block device or an image of one.
        member: String,
        #[command(flatten)]
        form: FormArgs,
    },
    /// Count the states of a bitmap's chunks and draw them as a heat map.
    Bitmap {
        /// A block device or an image of one.
        member: String,
        /// Draw the heat map into this SVG file too; it must not be there yet.
        #[arg(long, value_name = "FILE")]
        svg: Option<String>,
        /// Replace the SVG file, if there is a regular file of that name.
        #[arg(long, requires = "svg")]
        force: bool,
        #[command(flatten)]
        form: FormArgs,
    },
    /// Name every inconsistency of a member's metadata.
    Check {
        /// A block device or an image of one.
        member: String,
        #[command(flatten)]
        form: FormArgs,
    },
    /// Compare what two members say, field by field.
    Diff {
        /// A block device or an image of one.
        a: String,
        /// Another.
        b: String,
        #[command(flatten)]
        form: FormArgs,
    },
    /// Write a test image from a description in TOML.
    Craft {
        /// The description; tools/mdsb/README.md has one of each kind.
        spec: String,
        /// The image to make; it must not be there yet.
        out: String,
    },
}

#[derive(Args)]
pub struct FormArgs {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// How to print.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Text,
    /// For programs.
    Json,
}

impl FormArgs {
    pub fn form(&self) -> Form {
        if self.json {
            Form::Json
        } else {
            Form::Text
        }
    }
}
