// SPDX-License-Identifier: GPL-2.0

//! What an array's configuration knows of a member, and the member's presence in sysfs.

use super::{
    bad_blocks::Log,
    extent::{Extent, Extents},
    marks::Mark,
    superblock::{Superblock, View},
    Member,
};
use crate::{array::Array, log::Text, personality::Seated};
use core::num::NonZeroI64;
use kernel::{
    prelude::*,
    str::CString,
    sync::{Arc, ArcBorrow},
};
use kernel_ext::{
    block::{
        bdev::{BlockDevice, Claim, ClaimedDevice, Target},
        disk::DiskRef,
        holder::HolderLink,
        major::DeviceNumber,
    },
    sysfs::{AsKobject, Dirent, Kobject},
};
use md_core::{
    assemble::Verdict,
    format::{
        extents::Area,
        sb1::{DataPlace, Progress, Role},
    },
    policy::Fill,
    state::member::{Member as State, Place, Record, Seat},
    units::{Events, MemberNumber, Sector, SectorRange, Sectors, Slot},
    words::{
        array::MetadataVersion,
        mdstat::Reads,
        member::{MemberFlag, MemberFlags},
    },
};

/// What C keeps free for a superblock and what belongs to it when data moves towards it: 36 KiB.
const SUPERBLOCK_ROOM: Sectors = Sectors::new(72);

/// A member as the configuration knows it. Dropping it removes the member from sysfs, waiting for running attribute
/// functions, and closes the device: not with the configuration locked.
pub(crate) struct Entry {
    /// The device, for I/O.
    pub(crate) member: Arc<Member>,
    /// Its number in the superblocks.
    pub(crate) number: MemberNumber,
    /// What it is to the array.
    pub(crate) state: State,
    /// Where its data lies.
    pub(crate) data: DataPlace,
    share: Share,
    /// Its own superblock.
    pub(crate) superblock: Superblock,
    /// Read only when nothing else can be.
    pub(crate) write_mostly: bool,
    /// Its device is not to retry.
    pub(crate) failfast: bool,
    /// It is to be a replacement when it gets a slot; only before the array runs.
    pub(crate) replaces: bool,
    /// The event count of its superblock.
    pub(crate) events: Events,
    /// The event count of the array when it last was in sync, or what its superblock said when it came: it may have
    /// missed what was written since.
    pub(crate) in_sync_at: Events,
    /// Where its bad blocks are recorded, if it has a place for that.
    pub(crate) log: Option<Log>,
    /// What it lacks when it is not in sync: what the bitmap names if it once was, else all.
    pub(crate) fill: Fill,
    state_file: Option<Dirent>,
    bad_blocks_files: [Option<Dirent>; 2],
    directory: Option<Kobject<Member>>,
    _holder: Option<HolderLink>,
    device: Arc<ClaimedDevice>,
}

/// Whether other arrays may use other parts of its device.
enum Share {
    /// No other array has the device.
    Whole,
    /// A program that keeps the metadata says which part it has, once that is known.
    Part(Option<Extent>),
}

impl Entry {
    /// Opens a device and reads its superblock. May sleep.
    ///
    /// `EBUSY` when somebody else has it, `EINVAL` when it is empty or has no superblock of the kind of `metadata`.
    pub(crate) fn import(
        array: ArcBorrow<'_, Array>,
        number: DeviceNumber,
        metadata: MetadataVersion,
    ) -> Result<Self> {
        let (claim, share) = match metadata {
            // Disks of a container belong to several arrays.
            MetadataVersion::External(_) => (Claim::Shared, Share::Part(None)),
            _ => (Claim::Exclusive, Share::Whole),
        };
        let device = ClaimedDevice::open(number, claim).inspect_err(|error| {
            let (major, minor) = (number.major(), number.minor());
            pr_warn!("cannot open device {major}:{minor}: {error:?}\n");
        })?;
        let device = Arc::new(device, GFP_KERNEL)?;
        if device.sectors() < 2 {
            pr_warn!("{}: the device is empty\n", Text(device.name()));
            return Err(EINVAL);
        }
        let superblock = Superblock::read(&device, metadata)?;
        let member = Member::new(array.into(), device.clone())?;
        let size = match share {
            Share::Whole => Sectors::new(device.sectors()),
            Share::Part(_) => Sectors::ZERO,
        };
        let mut entry = Self {
            member,
            number: MemberNumber::ZERO,
            state: State::Spare { last: None },
            data: DataPlace::at_rest(Sector::ZERO, size),
            share,
            superblock,
            write_mostly: false,
            failfast: false,
            replaces: false,
            events: Events::ZERO,
            in_sync_at: Events::ZERO,
            log: None,
            fill: Fill::Full,
            state_file: None,
            bad_blocks_files: [None, None],
            directory: None,
            _holder: None,
            device,
        };
        entry.take_own_description()?;
        Ok(entry)
    }

    /// Takes from its superblock what no other member knows better.
    fn take_own_description(&mut self) -> Result {
        let Some(view) = self.superblock.view(&self.device)? else {
            return Ok(());
        };
        let log = Log::read(&self.member, &view)?;
        let described = view.member();
        let assembly = view.assembly();
        let slot = match assembly.role {
            Role::Active(slot) => Some(slot),
            _ => None,
        };
        self.replaces = described.replacement;
        self.state = match (slot, described.progress) {
            (Some(slot), Progress::Recovering { upto } | Progress::RecoveringByBitmap { upto }) => {
                State::Rebuilding {
                    place: self.place_in(slot),
                    upto: Sector::new(upto.get()),
                }
            }
            (Some(slot), _) => State::InSync(self.place_in(slot)),
            (None, _) => State::Spare { last: None },
        };
        self.data = described.data;
        self.set_failfast(described.failfast);
        self.member.set_corrected(described.corrected_reads);
        self.events = assembly.array.events;
        self.in_sync_at = self.events;
        self.log = log;
        self.set_write_mostly(described.write_mostly);
        Ok(())
    }

    /// Its data has so many sectors from now on. May sleep.
    ///
    /// `EBUSY` when a member of another array has some of them.
    pub(crate) fn set_size(&mut self, size: Sectors) -> Result {
        if let Share::Part(part) = &mut self.share {
            let extents = &self.member.array.registry.extents;
            let disk = self.device.number();
            *part = if size.is_zero() {
                None
            } else {
                let sectors = SectorRange::new(self.data.offset, size).ok_or(EINVAL)?;
                Some(Extents::claim(extents, disk, sectors, part.as_ref())?)
            };
        }
        self.data = self.data.with_size(size);
        Ok(())
    }

    /// Its data begins there from now on. Only before it has a place in an array that runs.
    ///
    /// `EBUSY` for one that shares its device and has its size: what others have there was looked at.
    pub(crate) fn set_offset(&mut self, offset: Sector) -> Result {
        if matches!(self.share, Share::Part(Some(_))) {
            return Err(EBUSY);
        }
        self.data.offset = offset;
        self.data.new_offset = offset;
        Ok(())
    }

    /// Has a superblock at the end of the device follow the end, and gives the room for data there is now. The
    /// superblock is to be written afterwards. May sleep.
    ///
    /// `EBUSY` when it cannot follow.
    pub(crate) fn follow_device(&mut self) -> Result<Sectors> {
        if self.data.offset != self.data.new_offset {
            return Err(EBUSY);
        }
        let end = self.superblock.follow(&self.device)?;
        if let (Some(log), Some(view)) = (&mut self.log, self.superblock.view(&self.device)?) {
            log.follow(&view);
        }
        Ok(end
            .checked_sub(Sectors::new(self.data.offset.get()))
            .unwrap_or(Sectors::ZERO))
    }

    /// What its superblock says; `None` when it has none.
    pub(crate) fn view(&self) -> Result<Option<View<'_>>> {
        self.superblock.view(&self.device)
    }

    /// Whether all that lies before its data lies before `at`, too: superblock, log of bad blocks, and a bitmap of
    /// this length at so many sectors from the superblock.
    pub(crate) fn is_free_from(
        &self,
        at: Sector,
        bitmap_at: Option<NonZeroI64>,
        bitmap: Sectors,
    ) -> Result<bool> {
        let Some(view) = self.view()? else {
            return Ok(false);
        };
        let superblock = view.member().superblock;
        let extents = view.extents();
        let areas = [Area::Superblock, Area::Ppl, Area::BadBlockLog];
        let ranges = areas.iter().filter_map(|area| extents.range(*area).ok()?);
        let taken = ranges.map(|range| (range.start(), range.len()));
        let kept = core::iter::once((superblock, SUPERBLOCK_ROOM));
        let bitmap = bitmap_at
            .and_then(|by| superblock.checked_offset(by.get()))
            .map(|start| (start, bitmap));
        let before = |(start, _): &(Sector, Sectors)| *start < self.data.offset;
        let all = Iterator::chain(Iterator::chain(taken, kept), bitmap);
        let mut all = all.filter(before);
        Ok(all.all(|(start, length)| start.saturating_add(length) <= at))
    }

    /// The device.
    pub(crate) fn device(&self) -> &BlockDevice {
        self.member.device()
    }

    /// The slot it has.
    pub(crate) fn slot(&self) -> Option<Slot> {
        self.state.place().map(|place| place.slot)
    }

    /// Gives it a slot, as far as its data goes, or none. Only before the array runs.
    pub(crate) fn take_slot(&mut self, slot: Option<Slot>) {
        self.state = match slot {
            Some(slot) => State::InSync(self.place_in(slot)),
            None => State::Spare { last: None },
        };
        self.fill = match slot {
            Some(_) => Fill::ByBitmap,
            None => Fill::Full,
        };
    }

    /// The place it would have in a slot.
    fn place_in(&self, slot: Slot) -> Place {
        let seat = if self.replaces {
            Seat::Replacement
        } else {
            Seat::Main
        };
        Place { slot, seat }
    }

    /// Whether it is to be a replacement, or is one. Only before the array runs.
    pub(crate) fn set_replaces(&mut self, replaces: bool) {
        self.replaces = replaces;
        if let Some(slot) = self.slot() {
            let place = self.place_in(slot);
            self.state = match self.state {
                State::InSync(_) => State::InSync(place),
                State::Rebuilding { upto, .. } => State::Rebuilding { place, upto },
                other => other,
            };
        }
    }

    /// Makes it what the assembly decided it is. `None` when it is not taken.
    pub(crate) fn adopt(&mut self, verdict: Verdict) -> Option<()> {
        use md_core::assemble::{Seat as JudgedSeat, SlotProgress};
        self.state = match verdict {
            Verdict::Active(judged) => {
                let place = Place {
                    slot: judged.slot,
                    seat: match judged.seat {
                        JudgedSeat::Main => Seat::Main,
                        JudgedSeat::Replacement => Seat::Replacement,
                    },
                };
                self.fill = match judged.progress {
                    SlotProgress::InSync | SlotProgress::UptoByBitmap(_) => Fill::ByBitmap,
                    SlotProgress::Upto(_) => Fill::Full,
                };
                match judged.progress {
                    SlotProgress::InSync => State::InSync(place),
                    SlotProgress::Upto(upto) | SlotProgress::UptoByBitmap(upto) => {
                        State::Rebuilding {
                            place,
                            upto: Sector::new(upto.get()),
                        }
                    }
                }
            }
            Verdict::Journal { tail } => State::Journal {
                tail: Sector::new(tail.get()),
            },
            Verdict::Spare | Verdict::Faulty => State::Spare { last: None },
            Verdict::Unjudged | Verdict::Kicked(_) => return None,
        };
        Some(())
    }

    /// What `dev-X/state` shows.
    pub(crate) fn flags(&self) -> MemberFlags {
        let flag = |flags: MemberFlags, set: bool, flag| if set { flags.with(flag) } else { flags };
        let unrecorded = matches!(
            self.state,
            State::Faulty {
                record: Record::Pending,
                ..
            }
        );
        let replaces = match self.state.place() {
            Some(place) => place.seat == Seat::Replacement,
            None => self.replaces,
        };
        let member = &self.member;
        let mut flags = match self.state {
            State::Faulty { .. } => MemberFlags::NONE.with(MemberFlag::Faulty),
            State::InSync(_) => MemberFlags::NONE.with(MemberFlag::InSync),
            State::Journal { .. } => MemberFlags::NONE.with(MemberFlag::Journal),
            State::Spare { .. } | State::Rebuilding { .. } => MemberFlags::NONE,
        };
        flags = flag(flags, self.write_mostly, MemberFlag::WriteMostly);
        for (set, which) in [
            (member.has(Mark::Blocked) || unrecorded, MemberFlag::Blocked),
            (member.has(Mark::WriteError), MemberFlag::WriteError),
            (
                member.has(Mark::WantReplacement),
                MemberFlag::WantReplacement,
            ),
            (replaces, MemberFlag::Replacement),
            (member.has(Mark::ExternalBadBlocks), MemberFlag::ExternalBbl),
            (self.failfast, MemberFlag::FailFast),
        ] {
            flags = flag(flags, set, which);
        }
        flags
    }

    /// Shows the member below the array's `md/` directory, and the array among the device's holders.
    pub(crate) fn present(&mut self, parent: &impl AsKobject, disk: &DiskRef) -> Result {
        let name = CString::try_from_fmt(fmt!(
            "dev-{}",
            self.device.sysfs_name().to_str().map_err(|_| EINVAL)?
        ))?;
        let directory = Kobject::add(parent, &name, self.member.clone())?;
        // mdadm finds the device by this link, but can do without.
        let _ = directory.add_link(self.device.device(), c"block");
        self.state_file = directory.dirent(c"state");
        self.bad_blocks_files =
            [c"bad_blocks", c"unacknowledged_bad_blocks"].map(|name| directory.dirent(name));
        self.directory = Some(directory);
        self._holder = Some(HolderLink::new(self.device.clone(), disk)?);
        Ok(())
    }

    /// Whether it is to be read only when nothing else can be.
    pub(crate) fn set_write_mostly(&mut self, write_mostly: bool) {
        self.write_mostly = write_mostly;
        self.member.set_reads(if write_mostly {
            Reads::WriteMostly
        } else {
            Reads::Normal
        });
    }

    /// Whether its device is not to retry while others have the data.
    pub(crate) fn set_failfast(&mut self, failfast: bool) {
        self.failfast = failfast;
        self.member.mark(Mark::FailFast, failfast);
    }

    /// What a level needs to use it; `None` when it has no place, or no data of the array.
    pub(crate) fn seated(&self) -> Option<Seated> {
        let (place, valid_below) = match self.state {
            State::InSync(place) => (place, Sector::MAX),
            State::Rebuilding { place, upto } => (place, upto),
            _ => return None,
        };
        Some(Seated {
            valid_below,
            ..self.seated_in(place)
        })
    }

    /// The same with a place that it does not have yet, as if it were in sync.
    pub(crate) fn seated_in(&self, place: Place) -> Seated {
        Seated {
            member: self.member.clone(),
            offset: self.data.offset,
            new_offset: self.data.new_offset,
            size: self.data.size,
            place,
            valid_below: Sector::MAX,
        }
    }

    /// Tells who polls `dev-X/state`.
    pub(crate) fn notify_state(&self) {
        if let Some(file) = &self.state_file {
            file.notify();
        }
    }

    /// Tells who polls the lists of bad blocks.
    pub(crate) fn notify_bad_blocks(&self) {
        for file in self.bad_blocks_files.iter().flatten() {
            file.notify();
        }
    }

    /// Its directory, once it is presented.
    pub(crate) fn directory(&self) -> Option<&Kobject<Member>> {
        self.directory.as_ref()
    }
}
