// SPDX-License-Identifier: GPL-2.0

//! The description of an image. Lengths and positions are in sectors; what is left out has mdadm's default, or none.

use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// Its length.
    pub sectors: u64,
    pub superblock: Superblock,
    pub bitmap: Option<Bitmap>,
    pub bad_blocks: Option<BadBlocks>,
    /// Bytes put over all the rest, to break things.
    #[serde(default)]
    pub damage: Vec<Damage>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Superblock {
    /// `0.90`, `1.0`, `1.1` or `1.2`.
    pub version: String,
    /// `raid1`, `linear`, ..., or a number.
    pub level: String,
    pub raid_disks: u16,
    #[serde(default)]
    pub layout: Option<u32>,
    #[serde(default)]
    pub chunk: u64,
    /// What the array uses of each member; all there is when left out.
    pub member_size: Option<u64>,
    #[serde(default)]
    pub data_offset: Option<u64>,
    #[serde(default)]
    pub data_size: Option<u64>,
    #[serde(default)]
    pub events: u64,
    /// Up to where the array is in sync; all of it when left out.
    pub in_sync_upto: Option<u64>,
    /// The name of the array.
    #[serde(default)]
    pub name: String,
    /// 32 hexadecimal digits; any colons and dashes between them do not count.
    pub uuid: Option<String>,
    pub device_uuid: Option<String>,
    /// Seconds since 1970.
    #[serde(default)]
    pub created: u64,
    #[serde(default)]
    pub updated: u64,
    /// This member's number.
    #[serde(default)]
    pub number: u16,
    /// The role of each member by number: a slot, `spare`, `faulty` or `journal`. Slot by slot when left out.
    pub roles: Option<Vec<Role>>,
    #[serde(default)]
    pub write_mostly: bool,
    #[serde(default)]
    pub failfast: bool,
    /// Rebuilt up to here.
    pub recovered: Option<u64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub enum Role {
    Slot(u16),
    Word(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bitmap {
    pub kind: Kind,
    /// Sectors from the superblock.
    pub offset: i32,
    pub chunk: Option<u64>,
    /// What it covers; the members' size when left out.
    pub sync_size: Option<u64>,
    #[serde(default)]
    pub reserved: u64,
    /// The array's when left out.
    pub events: Option<u64>,
    #[serde(default)]
    pub events_cleared: u64,
    /// Chunks in another state than the first: `dirty`, `need-sync`, ...; chunks are a number or `3..7`.
    #[serde(default)]
    pub cells: Vec<Cells>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Classic,
    Lockless,
    /// A lockless bitmap that no driver has filled in yet.
    LocklessFirstUse,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cells {
    pub state: String,
    pub from: u64,
    /// One chunk when left out.
    pub count: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BadBlocks {
    /// Sectors from the superblock.
    pub offset: i32,
    #[serde(default = "bad_block_log_sectors")]
    pub sectors: u16,
    #[serde(default)]
    pub shift: u8,
    /// Start and length of each.
    #[serde(default)]
    pub ranges: Vec<(u64, u64)>,
}

fn bad_block_log_sectors() -> u16 {
    8
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Damage {
    pub at_byte: u64,
    /// Hexadecimal digits.
    pub bytes: String,
}
