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
    /// On the journal of an array: a member whose role is `journal`.
    pub journal: Option<Journal>,
    pub ppl: Option<Ppl>,
    /// Bytes put over all the rest, to break things.
    #[serde(default)]
    pub damage: Vec<Damage>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Superblock {
    /// `0.90`, `1.0`, `1.1` or `1.2`.
    pub version: String,
    /// `raid1`, `linear`, ..., or a number in quotes, that of a level or not.
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
    /// A reshape under way, from the level, layout and chunk above. A 0.90 superblock then has the version 0.91.
    pub reshape: Option<Reshape>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reshape {
    /// The next sector of the array to move.
    pub position: u64,
    /// Slots gained; `raid_disks` counts them already.
    #[serde(default)]
    pub delta_disks: i32,
    /// The array's when left out, as are the next two.
    pub new_level: Option<String>,
    pub new_layout: Option<u32>,
    pub new_chunk: Option<u64>,
    /// It goes from the end to the start although the number of slots stays.
    #[serde(default)]
    pub backwards: bool,
    /// Sectors that the data moves by.
    #[serde(default)]
    pub data_moves: i64,
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
    /// Chunks in another state than the first.
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
    /// `dirty`, `need-sync`, ...
    pub state: String,
    /// The first chunk.
    pub from: u64,
    /// How many; one when left out.
    pub count: Option<u64>,
}

/// A journal with one meta block and no payload.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Journal {
    /// Where the superblock says that it is to be replayed from, from the start of its data.
    #[serde(default)]
    pub tail: u64,
    /// Where the block lies; at the tail when left out.
    pub at: Option<u64>,
    /// Where the block says that it lies; where it lies when left out.
    pub position: Option<u64>,
    #[serde(default)]
    pub sequence: u64,
}

/// A partial parity log.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ppl {
    /// Sectors from the superblock.
    pub offset: i16,
    pub sectors: u16,
    /// Logs follow one another in it.
    #[serde(default)]
    pub ring: bool,
    #[serde(default)]
    pub headers: Vec<PplHeader>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PplHeader {
    /// From the start of the area.
    #[serde(default)]
    pub at: u64,
    #[serde(default)]
    pub generation: u64,
    /// Sectors of partial parity behind it, for a write to the start of the array; their sums are wrong.
    #[serde(default)]
    pub parity: u64,
    /// The array's when left out.
    pub signature: Option<u32>,
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
    /// The superblock is summed again with these bytes in it, so that its checksum is right.
    #[serde(default)]
    pub summed: bool,
}
