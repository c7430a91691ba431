// SPDX-License-Identifier: GPL-2.0

//! A member's bitmap, classic or lockless, as one state for each chunk.

use md_core::{
    bitmap::cell::Cell,
    format::{
        bitmap::{Bit, BitAt, BitOrder, BitmapSb, Kind, LOCKLESS_DATA_AT, SB_BYTES},
        sb1::CrashLog,
    },
    units::{BitmapChunk, Sector, Sectors},
};

use crate::{failure::Failure, found::Superblock, source::Source};

/// What a bitmap says of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// A bit of a classic bitmap.
    Bit(Bit),
    /// A byte of a lockless one.
    Cell(Cell),
    /// A byte that is no state; drivers sync its chunk.
    Unknown,
}

impl State {
    /// Every state of a lockless bitmap, from the least to the most urgent.
    pub const LOCKLESS: [Self; 9] = [
        Self::Cell(Cell::Unwritten),
        Self::Cell(Cell::CleanUnwritten),
        Self::Cell(Cell::Clean),
        Self::Cell(Cell::SyncingUnwritten),
        Self::Cell(Cell::NeedSyncUnwritten),
        Self::Cell(Cell::Dirty),
        Self::Cell(Cell::Syncing),
        Self::Cell(Cell::NeedSync),
        Self::Unknown,
    ];
    /// Every state of a classic bitmap, from the least to the most urgent.
    pub const CLASSIC: [Self; 2] = [Self::Bit(Bit::Clean), Self::Bit(Bit::Dirty)];

    pub fn name(self) -> String {
        match self {
            Self::Bit(Bit::Clean) => "clean".to_owned(),
            Self::Bit(Bit::Dirty) => "dirty".to_owned(),
            Self::Cell(cell) => kebab(&cell.to_string()),
            Self::Unknown => "unknown".to_owned(),
        }
    }
}

/// `NeedSync` as `need-sync`.
fn kebab(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push('-');
        }
        words.extend(letter.to_lowercase());
    }
    words
}

/// A bitmap that was read.
pub struct Bitmap {
    pub at: Sector,
    pub sb: BitmapSb,
    /// The array it belongs to, as mdadm prints it.
    pub uuid: String,
    /// How many chunks there are; zero before the first use of a lockless bitmap.
    pub chunks: u64,
    bytes: Vec<u8>,
}

impl Bitmap {
    /// Reads the superblock of the bitmap that `member` names.
    pub fn read_superblock(
        source: &Source,
        member: &Superblock<'_>,
    ) -> Result<(Sector, BitmapSb), Failure> {
        let CrashLog::Bitmap(place) = member.member().crash_log else {
            return Err(Failure::NoBitmap("the superblock names none".to_owned()));
        };
        let bytes = source.read(place.start, SB_BYTES as u64, "the bitmap's superblock")?;
        let sb = BitmapSb::parse(&bytes).map_err(|error| Failure::NoBitmap(error.to_string()))?;
        Ok((place.start, sb))
    }

    /// Reads the bitmap that `member` names.
    pub fn read(source: &Source, member: &Superblock<'_>) -> Result<Self, Failure> {
        let (at, sb) = Self::read_superblock(source, member)?;
        let chunks = sb.kind.chunk().map_or(0, |chunk| chunk.count(sb.sync_size));
        let needed = sb.kind.needed(sb.sync_size).unwrap_or(Sectors::new(1));
        let needed = needed.to_bytes().unwrap_or(u64::MAX);
        let bytes = source.read(at, needed, "the bitmap")?;
        Ok(Self {
            at,
            uuid: member.uuid_text(sb.uuid),
            sb,
            chunks,
            bytes,
        })
    }

    /// The states it can have, from the least to the most urgent.
    pub fn states(&self) -> &'static [State] {
        if self.sb.kind.is_lockless() {
            &State::LOCKLESS
        } else {
            &State::CLASSIC
        }
    }

    /// The state of every chunk.
    pub fn cells(&self) -> impl Iterator<Item = State> + '_ {
        (0..self.chunks).map_while(|chunk| self.state(BitmapChunk::new(chunk)))
    }

    /// How often each of [`Bitmap::states`] occurs.
    pub fn counts(&self) -> Vec<(State, u64)> {
        let mut counts: Vec<(State, u64)> = self.states().iter().map(|&state| (state, 0)).collect();
        for state in self.cells() {
            if let Some((_, count)) = counts.iter_mut().find(|(known, _)| *known == state) {
                *count += 1;
            }
        }
        counts
    }

    fn state(&self, chunk: BitmapChunk) -> Option<State> {
        let order = match self.sb.kind {
            Kind::Lockless(_) | Kind::LocklessFirstUse => return self.lockless(chunk),
            Kind::HostEndian(_) => BitOrder::Host,
            Kind::Classic(_) | Kind::Clustered { .. } => BitOrder::LittleEndian,
        };
        BitAt::of(chunk, order).read(&self.bytes, 0).map(State::Bit)
    }

    fn lockless(&self, chunk: BitmapChunk) -> Option<State> {
        let at = usize::try_from(chunk.get().checked_add(LOCKLESS_DATA_AT)?).ok()?;
        let parsed = Cell::parse(*self.bytes.get(at)?);
        Some(match parsed.finding {
            None => State::Cell(parsed.cell),
            Some(_) => State::Unknown,
        })
    }
}
