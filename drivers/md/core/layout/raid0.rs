// SPDX-License-Identifier: GPL-2.0

//! Striping over members that may differ in length.
//!
//! Members of one length make one *zone*. Where lengths differ, the first zone spans all members up to the length of
//! the shortest, and each further length starts a zone with the members that are still longer.
//!
//! Inside a zone, chunks go around the members in slot order. With which member a later zone *begins* is the one
//! point in which two layouts differ: see [`ZoneOrder`].
//!
//! A [`Raid0`] keeps its zones and their members in storage of the caller, sized by [`Raid0::needs`].

mod spread;

pub use spread::{Piece, Spread};

use super::{
    chunk::{ChunkSize, MemberCount},
    BeyondEnd, MemberRun,
};
use crate::units::{Sector, Sectors, Slot};
use core::{
    fmt, iter,
    ops::{Deref, DerefMut},
};

/// The member a zone begins with; in the superblock's `layout` word for level 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZoneOrder {
    /// Layout word 1, Linux up to 3.13: chunks are numbered through the whole array, so a zone begins with member
    /// `chunk number % members`.
    Original,
    /// Layout word 2, Linux 3.14 to 5.3: each zone begins with its first member.
    Alternate,
}

impl ZoneOrder {
    /// Reads a layout word; any word but 1 and 2 says that the order was not recorded.
    pub const fn from_word(word: u32) -> Option<Self> {
        match word {
            1 => Some(Self::Original),
            2 => Some(Self::Alternate),
            _ => None,
        }
    }

    /// The layout word.
    pub const fn word(self) -> u32 {
        match self {
            Self::Original => 1,
            Self::Alternate => 2,
        }
    }
}

/// What is known about the order of an array whose zones it matters for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OrderPolicy {
    /// From the superblock.
    pub recorded: Option<ZoneOrder>,
    /// From the module parameter `default_layout`, for superblocks that do not say.
    pub default_layout: Option<ZoneOrder>,
}

impl OrderPolicy {
    /// The order for an array of `zones` zones.
    ///
    /// With one zone, or one member left in the second, both orders are the same and nothing need be known. (Members
    /// only drop out from zone to zone, so the second zone decides.)
    fn choose(self, zones: &[Zone]) -> Result<ZoneOrder, Raid0Error> {
        match zones.get(1) {
            None => Ok(ZoneOrder::Original),
            Some(second) if second.members.get() == 1 => Ok(ZoneOrder::Original),
            Some(_) => self
                .recorded
                .or(self.default_layout)
                .ok_or(Raid0Error::UnknownOrder),
        }
    }
}

/// Why a raid0 array cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Raid0Error {
    /// There is no member; EINVAL in C md.
    NoMembers,
    /// There are more members than slot numbers; EINVAL in C md.
    TooManyMembers,
    /// The members together are longer than 2^64 sectors; C md wraps around.
    TooLong,
    /// The order of several zones is neither recorded nor set by `default_layout`, and guessing wrong would scramble
    /// the data. EOPNOTSUPP in C md.
    UnknownOrder,
    /// The storage is not of the size [`Raid0::needs`] named; a mistake of the caller.
    StorageMismatch,
}

impl fmt::Display for Raid0Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoMembers => "a raid0 array needs a member",
            Self::TooManyMembers => "a raid0 array cannot have that many members",
            Self::TooLong => "the members together exceed 2^64 sectors",
            Self::UnknownOrder => {
                "cannot assemble multi-zone RAID0 with default_layout setting; \
                 please set raid0.default_layout to 1 or 2"
            }
            Self::StorageMismatch => "the tables have not the size that was asked for",
        })
    }
}

/// One zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zone {
    /// First array sector behind the zone.
    end: u64,
    /// First array sector of the zone, in chunks.
    start_chunk: u64,
    /// First sector of the zone on each of its members.
    member_start: u64,
    /// How many members the zone has.
    members: MemberCount,
    /// The index, among the zone's members, of the one that it begins with.
    shift: u16,
    /// Where the zone's slots begin in the table of slots.
    first_slot: usize,
}

impl Zone {
    /// Fills storage before [`Raid0::build`]; holds no sector.
    pub const EMPTY: Self = Self {
        end: 0,
        start_chunk: 0,
        member_start: 0,
        members: MemberCount::ONE,
        shift: 0,
        first_slot: 0,
    };
}

/// How much storage the zones of an array take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Entries of the table of zones.
    pub zones: usize,
    /// Entries of the table of slots.
    pub slots: usize,
}

/// The rounded lengths of the members, walked zone by zone.
#[derive(Clone, Copy)]
struct Lengths<'a> {
    chunk: ChunkSize,
    lengths: &'a [Sectors],
}

impl Lengths<'_> {
    fn rounded(&self) -> impl Iterator<Item = (u16, u64)> + '_ {
        (0..=u16::MAX)
            .zip(self.lengths)
            .map(|(slot, len)| (slot, self.chunk.round_down(*len).get()))
    }

    /// The members that reach beyond `start`: how many, and the length of the shortest.
    ///
    /// The first zone takes all members, even those that hold no chunk at all (`start` is `None`).
    fn beyond(&self, start: Option<u64>) -> Option<(MemberCount, u64)> {
        let mut count = 0u16;
        let mut shortest = u64::MAX;
        for (_, len) in self.rounded().filter(|(_, len)| Some(*len) > start) {
            count = count.saturating_add(1);
            shortest = shortest.min(len);
        }
        Some((MemberCount::new(count)?, shortest))
    }
}

/// A raid0 array over a table of zones `Z` and a table of slots `D`.
///
/// # Invariants
///
/// Zone ends never decrease; each zone's `first_slot..first_slot + members` lies in the table of slots.
#[derive(Clone, Copy, Debug)]
pub struct Raid0<Z, D> {
    chunk: ChunkSize,
    order: ZoneOrder,
    array_size: Sectors,
    zones: Z,
    slots: D,
}

impl Raid0<(), ()> {
    /// The storage that [`Raid0::build`] wants for members of these `lengths`.
    ///
    /// # Errors
    ///
    /// [`Raid0Error::NoMembers`], [`Raid0Error::TooManyMembers`].
    pub fn needs(chunk: ChunkSize, lengths: &[Sectors]) -> Result<Needs, Raid0Error> {
        if lengths.is_empty() {
            return Err(Raid0Error::NoMembers);
        }
        if u16::try_from(lengths.len()).is_err() {
            return Err(Raid0Error::TooManyMembers);
        }
        let lengths = Lengths { chunk, lengths };
        let mut needs = Needs::default();
        let mut start = None;
        while let Some((members, shortest)) = lengths.beyond(start) {
            needs.zones = needs.zones.saturating_add(1);
            needs.slots = needs.slots.saturating_add(usize::from(members.get()));
            start = Some(shortest);
        }
        Ok(needs)
    }
}

impl<Z, D> Raid0<Z, D>
where
    Z: DerefMut<Target = [Zone]>,
    D: DerefMut<Target = [Slot]>,
{
    /// Lays out members of these `lengths` (slot order, not yet rounded to chunks) in the given storage.
    ///
    /// # Errors
    ///
    /// All of [`Raid0Error`].
    pub fn build(
        chunk: ChunkSize,
        lengths: &[Sectors],
        policy: OrderPolicy,
        mut zones: Z,
        mut slots: D,
    ) -> Result<Self, Raid0Error> {
        let needs = Raid0::needs(chunk, lengths)?;
        if zones.len() != needs.zones || slots.len() != needs.slots {
            return Err(Raid0Error::StorageMismatch);
        }
        let lengths = Lengths { chunk, lengths };
        fill_zones(&lengths, &mut zones)?;
        fill_slots(&lengths, &zones, &mut slots);
        let order = policy.choose(&zones)?;
        if order == ZoneOrder::Original {
            for zone in zones.iter_mut() {
                (_, zone.shift) = zone.members.split(zone.start_chunk);
            }
        }
        let array_size = array_size(&lengths)?;
        // INVARIANT: `fill_zones` only adds to the end, and the table of slots is the sum of the zones' members.
        Ok(Self {
            chunk,
            order,
            array_size,
            zones,
            slots,
        })
    }
}

fn fill_zones(lengths: &Lengths<'_>, zones: &mut [Zone]) -> Result<(), Raid0Error> {
    let mut start = None;
    let mut end = 0u64;
    let mut first_slot = 0usize;
    for zone in zones {
        let (members, shortest) = lengths.beyond(start).ok_or(Raid0Error::StorageMismatch)?;
        let member_start = start.unwrap_or(0);
        let (start_chunk, _) = lengths.chunk.split(Sector::new(end));
        end = shortest
            .saturating_sub(member_start)
            .checked_mul(u64::from(members.get()))
            .and_then(|len| end.checked_add(len))
            .ok_or(Raid0Error::TooLong)?;
        *zone = Zone {
            end,
            start_chunk,
            member_start,
            members,
            shift: 0,
            first_slot,
        };
        first_slot = first_slot.saturating_add(usize::from(members.get()));
        start = Some(shortest);
    }
    Ok(())
}

fn fill_slots(lengths: &Lengths<'_>, zones: &[Zone], slots: &mut [Slot]) {
    let later = zones.iter().skip(1).map(|zone| Some(zone.member_start));
    let mut entries = slots.iter_mut();
    for start in iter::once(None).chain(later) {
        let members = lengths.rounded().filter(|(_, len)| Some(*len) > start);
        // The members in front: `zip` asks them first, so that it takes no entry in vain at their end.
        for ((slot, _), entry) in members.zip(entries.by_ref()) {
            *entry = Slot::new(slot);
        }
    }
}

/// The size of the array as the C driver computes it: see [`ChunkSize::mask_down`].
fn array_size(lengths: &Lengths<'_>) -> Result<Sectors, Raid0Error> {
    lengths
        .rounded()
        .map(|(_, len)| lengths.chunk.mask_down(Sectors::new(len)))
        .try_fold(Sectors::ZERO, |sum, len| sum.checked_add(len))
        .ok_or(Raid0Error::TooLong)
}

impl<Z, D> Raid0<Z, D>
where
    Z: Deref<Target = [Zone]>,
    D: Deref<Target = [Slot]>,
{
    /// The number of sectors in the array; up to a chunk per member less than the zones hold where the chunk is not a
    /// power of two.
    pub const fn array_size(&self) -> Sectors {
        self.array_size
    }

    /// The order in force.
    pub const fn order(&self) -> ZoneOrder {
        self.order
    }

    /// The chunk length.
    pub const fn chunk(&self) -> ChunkSize {
        self.chunk
    }

    /// How many zones there are.
    pub fn zone_count(&self) -> usize {
        self.zones.len()
    }

    /// Maps an array sector; the run reaches to the end of the chunk.
    ///
    /// # Errors
    ///
    /// [`BeyondEnd`].
    #[inline]
    pub fn map(&self, at: Sector) -> Result<MemberRun, BeyondEnd> {
        let zone = self.zone_of(at)?;
        let (chunk, offset) = self.chunk.split(at);
        let (row, index) = zone.members.split(chunk.saturating_sub(zone.start_chunk));
        let chunk_len = self.chunk.sectors().get();
        // By construction below the length of the zone's shortest member, so nothing saturates.
        let sector = row
            .saturating_mul(chunk_len)
            .saturating_add(zone.member_start)
            .saturating_add(offset.get());
        Ok(MemberRun {
            slot: self.slot(zone, rotate(zone, index))?,
            sector: Sector::new(sector),
            len: Sectors::new(chunk_len.saturating_sub(offset.get())),
        })
    }

    #[inline]
    fn zone_of(&self, at: Sector) -> Result<&Zone, BeyondEnd> {
        if at.get() >= self.array_size.get() {
            return Err(BeyondEnd);
        }
        // A zone for each length of member: hardly ever more than two.
        let zone = self.zones.iter().find(|zone| at.get() < zone.end);
        zone.ok_or(BeyondEnd)
    }

    /// The slot of member number `index` of `zone`; by the type invariant there is one.
    #[inline]
    fn slot(&self, zone: &Zone, index: u16) -> Result<Slot, BeyondEnd> {
        let at = zone.first_slot.saturating_add(usize::from(index));
        self.slots.get(at).copied().ok_or(BeyondEnd)
    }
}

/// From the position in a row of `zone` to the member that holds it.
#[inline]
fn rotate(zone: &Zone, index: u16) -> u16 {
    let members = zone.members.get();
    // Both are below `members`; the sum is taken without overflow.
    match index.checked_sub(members.saturating_sub(zone.shift)) {
        Some(wrapped) => wrapped,
        None => index.saturating_add(zone.shift),
    }
}

/// From a member of `zone` to its position in a row: the inverse of [`rotate`].
#[inline]
fn unrotate(zone: &Zone, member: u16) -> u16 {
    match member.checked_sub(zone.shift) {
        Some(index) => index,
        None => zone
            .members
            .get()
            .saturating_sub(zone.shift)
            .saturating_add(member),
    }
}
