// SPDX-License-Identifier: GPL-2.0

//! Whether what a superblock places on a member keeps out of each other's way: data, superblock, bitmap, bad-block log,
//! partial parity log. C md checks some of these pairs and trusts userspace with the others. Here nobody has a verified
//! superblock whose areas overlap: verifying it makes its [`Extents`].
//!
//! One overlap is known and common: mdadm 4.6 puts the bad-block log of an array with a lockless bitmap inside the
//! bitmap. Bytes of the bitmap then look like bad blocks, and bad blocks overwrite the bitmap. So a bad-block log that
//! lies in another area is not an error; the log is taken to be absent ([`LogUse`]).

use core::fmt;

use super::bitmap::BitmapSb;
use super::sb1::{ArrayState, BadBlockLog, BadBlocks, CrashLog, DataPlace, MemberState, Progress};
use crate::units::{Sector, SectorRange, Sectors};

/// Something that has a place on a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Area {
    /// The superblock.
    Superblock,
    /// The array's data.
    Data,
    /// The place a reshape moves data to; it may share sectors with [`Area::Data`].
    NewData,
    /// The ring of a journal, in the place of data.
    Journal,
    /// The bitmap: its superblock and its cells.
    Bitmap,
    /// The partial parity log.
    Ppl,
    /// The bad-block log.
    BadBlockLog,
}

impl Area {
    /// All but the bad-block log, which is judged apart.
    const FIRM: [Self; 6] = [
        Self::Superblock,
        Self::Data,
        Self::NewData,
        Self::Journal,
        Self::Bitmap,
        Self::Ppl,
    ];

    /// Whether sharing sectors with `other` is how it should be.
    fn may_share(self, other: Self) -> bool {
        self == other
            || matches!(
                (self, other),
                (Self::Data, Self::NewData) | (Self::NewData, Self::Data)
            )
    }
}

impl fmt::Display for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Superblock => "superblock",
            Self::Data => "data",
            Self::NewData => "reshaped data",
            Self::Journal => "journal",
            Self::Bitmap => "bitmap",
            Self::Ppl => "partial parity log",
            Self::BadBlockLog => "bad-block log",
        })
    }
}

/// Why a member cannot be used as its superblock says. C md answers `EINVAL` where it notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtentsError {
    /// Two areas share sectors.
    Overlap {
        /// The one named first.
        first: Area,
        /// The one named second.
        second: Area,
    },
    /// An area is not wholly on the member.
    OffDevice(Area),
    /// Bad blocks are recorded in a log that lies in this area, so the log cannot be believed and not be ignored.
    RecordedBadBlocksIn(Area),
}

impl fmt::Display for ExtentsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Overlap { first, second } => write!(f, "{first} and {second} overlap"),
            Self::OffDevice(area) => write!(f, "{area} does not lie on the member"),
            Self::RecordedBadBlocksIn(area) => write!(f, "recorded bad blocks lie in the {area}"),
        }
    }
}

impl core::error::Error for ExtentsError {}

/// How the bad-block log of a member may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogUse {
    /// There is none.
    Absent,
    /// Read it when bad blocks are recorded; write it.
    Usable(BadBlockLog),
    /// It lies inside the area of a lockless bitmap, where mdadm 4.6 puts it. Neither read nor write it, even when bad
    /// blocks are recorded: what is read there are bytes of the bitmap.
    InsideLocklessBitmap(BadBlockLog),
    /// It lies in this area, and nothing is recorded in it. Neither read nor write it.
    Inside(Area, BadBlockLog),
}

impl LogUse {
    /// The log, whether it may be used or not: for who shows it.
    pub const fn place(self) -> Option<BadBlockLog> {
        match self {
            Self::Absent => None,
            Self::Usable(log) | Self::InsideLocklessBitmap(log) | Self::Inside(_, log) => Some(log),
        }
    }
}

/// Where everything on a member lies. All of it lies on the member, and nothing overlaps that should not; the bad-block
/// log, which may lie anywhere on it, can be had only as a [`LogUse`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extents {
    device: Sectors,
    superblock: SectorRange,
    data: DataExtent,
    ppl: Option<SectorRange>,
    bitmap: Option<BitmapExtent>,
    log: Option<BadBlockLog>,
    bad_blocks: BadBlocks,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct DataExtent {
    place: DataPlace,
    /// What the array uses of it.
    used: Sectors,
    /// `Data` or `Journal`.
    area: Area,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct BitmapExtent {
    start: Sector,
    /// What superblock and cells take; one sector while that is unknown.
    needed: Sectors,
}

/// What a superblock says of its member, before anybody looked whether it fits.
#[derive(Clone, Copy)]
pub(super) struct Claims<'s> {
    /// The length of the member.
    pub(super) device: Sectors,
    /// What the superblock takes.
    pub(super) superblock: SectorRange,
    pub(super) array: &'s ArrayState,
    pub(super) member: &'s MemberState,
    /// The place of the bad-block log.
    pub(super) log: Option<BadBlockLog>,
}

impl Extents {
    /// Checks every pair of the areas that `claims` names. A bitmap counts one sector until [`Extents::with_bitmap`].
    pub(super) fn verify(claims: Claims<'_>) -> Result<Self, ExtentsError> {
        let Claims { array, member, .. } = claims;
        let journal = matches!(member.progress, Progress::Journal { .. });
        // The used size says nothing about a journal, and is zero when the level uses all there is. A member that is
        // shorter than that is for who assembles the array to refuse.
        let all = journal || array.member_size.is_zero();
        let data = DataExtent {
            place: member.data,
            used: if all {
                member.data.size
            } else {
                array.member_size.min(member.data.size)
            },
            area: if journal { Area::Journal } else { Area::Data },
        };
        let (bitmap, ppl) = match member.crash_log {
            CrashLog::None => (None, None),
            CrashLog::Bitmap(place) => (Some(BitmapExtent::unknown(place.start)), None),
            CrashLog::Ppl(place) => (None, place.range),
        };
        let extents = Self {
            device: claims.device,
            superblock: claims.superblock,
            data,
            ppl,
            bitmap,
            log: claims.log,
            bad_blocks: member.bad_blocks,
        };
        extents.check()?;
        Ok(extents)
    }

    /// The same, with the bitmap as long as its superblock makes it: what its cells need to cover what it covers.
    ///
    /// # Errors
    ///
    /// It then reaches into something else, or off the member.
    pub fn with_bitmap(mut self, sb: &BitmapSb) -> Result<Self, ExtentsError> {
        self.bitmap = self.bitmap.map(|bitmap| BitmapExtent {
            needed: sb.kind.needed(sb.sync_size).unwrap_or(bitmap.needed),
            ..bitmap
        });
        self.check()?;
        Ok(self)
    }

    /// Checks every pair of areas.
    fn check(&self) -> Result<(), ExtentsError> {
        let mut rest = Area::FIRM.as_slice();
        while let Some((&first, others)) = rest.split_first() {
            rest = others;
            let Some(range) = self.range(first)? else {
                continue;
            };
            for &second in others {
                let shared = self
                    .range(second)?
                    .is_some_and(|other| other.overlaps(range));
                if shared && !first.may_share(second) {
                    return Err(ExtentsError::Overlap { first, second });
                }
            }
        }
        Ok(())
    }

    /// How many sectors the bitmap whose superblock this is may use: what is kept for it, which is at least what it
    /// needs and in a lockless one all its own, cut where something else or the member's end begins. `None` without a
    /// bitmap.
    pub fn bitmap_room(&self, sb: &BitmapSb) -> Option<Sectors> {
        let bitmap = self.bitmap?;
        let room = self.room_at(bitmap.start, |area| area != Area::Bitmap);
        Some(bitmap.kept(sb).min(room))
    }

    /// How many sectors a classic bitmap may have that begins at `start`, up to whatever comes next on the member, the
    /// log of bad blocks included. `None` when `start` is not free.
    pub fn room_for_bitmap(&self, start: Sector) -> Option<Sectors> {
        let room = self.room_for_lockless(start)?;
        let log = self.log.map(|log| log.range);
        match log.filter(|log| log.end() > start) {
            None => Some(room),
            // Nothing is left when it begins here, or before.
            Some(log) => {
                let to_log = log.start().distance_from(start)?.min(room);
                (!to_log.is_zero()).then_some(to_log)
            }
        }
    }

    /// The same for a lockless bitmap. mdadm 4.6 puts the log of bad blocks inside it, so that does not count: such a
    /// log is absent ([`LogUse::InsideLocklessBitmap`]).
    pub fn room_for_lockless(&self, start: Sector) -> Option<Sectors> {
        let is_other = |area: Area| area != Area::Bitmap;
        let taken = Area::FIRM
            .iter()
            .filter(|&&area| is_other(area))
            .filter_map(|&area| self.range(area).ok().flatten())
            .any(|range| range.start() <= start && start < range.end());
        let room = self.room_at(start, is_other);
        (!taken && !room.is_zero()).then_some(room)
    }

    /// How long the data may become without touching anything behind it.
    pub fn data_room(&self) -> Sectors {
        let data = [Area::Data, Area::NewData, Area::Journal];
        let firm = self.room_at(self.data.place.offset, |area| !data.contains(&area));
        let log = self
            .log
            .and_then(|log| log.range.start().distance_from(self.data.place.offset));
        log.map_or(firm, |log| firm.min(log))
    }

    /// How far it is from `start` to the next of `areas`, or to the end of the member.
    fn room_at(&self, start: Sector, areas: impl Fn(Area) -> bool) -> Sectors {
        let ranges = Area::FIRM
            .iter()
            .filter(|&&area| areas(area))
            .filter_map(|&area| self.range(area).ok().flatten());
        let behind = ranges
            .map(SectorRange::start)
            .filter(|&at| at >= start)
            .fold(self.end(), Sector::min);
        behind.distance_from(start).unwrap_or(Sectors::ZERO)
    }

    fn end(&self) -> Sector {
        Sector::new(self.device.get())
    }

    /// How the bad-block log may be used, `bitmap` being the superblock of the bitmap; without one that can be read
    /// the bitmap counts one sector.
    ///
    /// # Errors
    ///
    /// [`ExtentsError::RecordedBadBlocksIn`]; those of [`Extents::with_bitmap`].
    pub fn log_use(&self, bitmap: Option<&BitmapSb>) -> Result<LogUse, ExtentsError> {
        let Some(log) = self.log else {
            return Ok(LogUse::Absent);
        };
        let lockless = bitmap.filter(|sb| sb.kind.is_lockless()).zip(self.bitmap);
        let kept =
            lockless.and_then(|(sb, bitmap)| SectorRange::new(bitmap.start, bitmap.kept(sb)));
        if kept.is_some_and(|kept| kept.overlaps(log.range)) {
            return Ok(LogUse::InsideLocklessBitmap(log));
        }
        let known = match bitmap {
            Some(sb) => self.with_bitmap(sb)?,
            None => *self,
        };
        for &area in &Area::FIRM {
            if known
                .range(area)?
                .is_some_and(|range| range.overlaps(log.range))
            {
                return match self.bad_blocks {
                    BadBlocks::Recorded => Err(ExtentsError::RecordedBadBlocksIn(area)),
                    BadBlocks::Unrecorded => Ok(LogUse::Inside(area, log)),
                };
            }
        }
        Ok(LogUse::Usable(log))
    }

    /// The sectors of `area`, or `None` on a member without it.
    pub fn range(&self, area: Area) -> Result<Option<SectorRange>, ExtentsError> {
        let DataExtent {
            place,
            used,
            area: data,
        } = self.data;
        let run = match area {
            Area::Superblock => Some((self.superblock.start(), self.superblock.len())),
            Area::Data | Area::Journal => (data == area).then_some((place.offset, used)),
            Area::NewData => (place.new_offset != place.offset).then_some((place.new_offset, used)),
            Area::Bitmap => self.bitmap.map(|bitmap| (bitmap.start, bitmap.needed)),
            Area::Ppl => self.ppl.map(|ppl| (ppl.start(), ppl.len())),
            Area::BadBlockLog => self.log.map(|log| (log.range.start(), log.range.len())),
        };
        let Some((start, len)) = run else {
            return Ok(None);
        };
        let range = SectorRange::new(start, len).filter(|range| range.end() <= self.end());
        range.map(Some).ok_or(ExtentsError::OffDevice(area))
    }
}

impl BitmapExtent {
    fn unknown(start: Sector) -> Self {
        Self {
            start,
            needed: Sectors::new(1),
        }
    }

    /// What is kept for the bitmap `sb`, at least what it needs.
    fn kept(self, sb: &BitmapSb) -> Sectors {
        let needed = sb.kind.needed(sb.sync_size).unwrap_or(self.needed);
        sb.reserved.max(needed)
    }
}

#[cfg(test)]
mod tests;
