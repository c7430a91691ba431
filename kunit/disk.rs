// SPDX-License-Identifier: GPL-2.0

//! A disk of our own: a mirror over two RAM disks, small enough to be read at a glance.

use crate::device::{holds, incoming, number, ram, Counter};
use kernel::{
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        Arc, ArcBorrow,
    },
};
use kernel_ext::{
    alloc::{
        mempool::Wait,
        page::{Pages, PAGE_SECTORS},
    },
    block::{
        bdev::{BlockDevice, Claim, ClaimedDevice},
        bio::{Bio, Direction},
        bio_set::BioSet,
        disk::{Disk, DiskRef, Geometry, MediaChange, Numbers, OpenDisk, Operations, ReadOnly},
        fan::{Fan, FanPool, Request},
        holder::HolderLink,
        limits::{Features, Limits, LimitsUpdate},
        major::{DeviceNumber, Major, Probe},
        status::Status,
    },
    sync::percpu_ref::{Gate, Guard},
};

/// A bio in the mirror; keeps the gate from being empty.
struct InMirror(#[expect(dead_code, reason = "kept for its drop")] Guard);

impl Request for InMirror {
    type Leg = Arc<ClaimedDevice>;

    fn finish(fan: Fan<Self>) {
        let status = fan
            .legs()
            .fold(Status::OK, |first, leg| first.and(leg.status()));
        fan.complete(status);
    }
}

/// A mirror over two RAM disks.
struct Mirror {
    members: [Arc<ClaimedDevice>; 2],
    gate: Gate,
    pool: FanPool<InMirror>,
    bios: Atomic<i32>,
}

impl Mirror {
    fn new() -> Result<Arc<Self>> {
        let mirror = Self {
            members: [ram(0)?, ram(1)?],
            gate: Gate::new(())?,
            pool: FanPool::new(4, 2)?,
            bios: Atomic::new(0),
        };
        Ok(Arc::new(mirror, GFP_KERNEL)?)
    }

    fn serve(&self, bio: Bio) -> Result<(), Bio> {
        let Some(guard) = self.gate.enter() else {
            return Err(bio);
        };
        let legs = if bio.is_write() { 2 } else { 1 };
        let Some(room) = self.pool.room(Wait::Yes) else {
            return Err(bio);
        };
        let mut fan = room.fan(bio, InMirror(guard));
        for member in self.members.iter().take(legs) {
            if let Err(error) = fan.add_leg(member.clone()) {
                fan.complete(error.into());
                return Ok(());
            }
        }
        fan.submit();
        Ok(())
    }
}

impl Operations for Mirror {
    const GEOMETRY: Geometry = Geometry {
        heads: 2,
        sectors: 4,
    };

    fn submit_bio(this: ArcBorrow<'_, Self>, bio: Bio) {
        if let Some(bio) = bio.split_to_limits() {
            this.bios.fetch_add(1, Relaxed);
            if let Err(bio) = this.serve(bio) {
                bio.end(Status::OFFLINE);
            }
        }
    }

    fn open(_this: ArcBorrow<'_, Self>, _disk: &DiskRef) -> Result {
        Ok(())
    }

    fn release(_this: ArcBorrow<'_, Self>) {}

    fn ioctl(
        _this: ArcBorrow<'_, Self>,
        _disk: OpenDisk<'_>,
        _command: u32,
        _argument: usize,
    ) -> Result {
        Err(ENOTTY)
    }

    fn compat_argument(_command: u32, argument: usize) -> usize {
        argument
    }

    fn check_events(_this: ArcBorrow<'_, Self>) -> MediaChange {
        MediaChange::Same
    }

    fn set_read_only(_this: ArcBorrow<'_, Self>, _to: ReadOnly) -> Result {
        Ok(())
    }
}

/// Does not make disks that are opened before they exist.
struct Nobody;

impl Probe for Nobody {
    fn probe(_number: DeviceNumber) {}
}

/// A disk that is in the system, with its major number.
struct Present {
    // First, as the disk must go before its number.
    disk: Disk<Mirror>,
    numbers: Numbers,
    _major: Major<Nobody>,
}

/// How far bios may be before the mirror splits them, in sectors.
const CHUNK: u32 = 64;

fn add(mirror: &Arc<Mirror>) -> Result<Present> {
    let major = Major::<Nobody>::register(None, c"md_kunit")?;
    let first = DeviceNumber::new(major.number(), 0).ok_or(EINVAL)?;
    let numbers = Numbers { first, minors: 1 };
    let disk = Disk::add(numbers, kernel::prelude::fmt!("md_kunit0"), mirror.clone())?;
    let mut limits = Limits::stacking();
    limits
        .add_features(Features::WRITE_CACHE | Features::FUA | Features::IO_STAT)
        .set_chunk_sectors(CHUNK);
    for member in &mirror.members {
        limits.stack(member, 0, c"md_kunit0");
    }
    limits.apply(&disk)?;
    disk.set_capacity_and_notify(mirror.members[0].sectors());
    Ok(Present {
        disk,
        numbers,
        _major: major,
    })
}

#[kunit_tests(kernel_ext_disk)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_mirrors() -> Result {
        let mirror = Mirror::new()?;
        let present = add(&mirror)?;
        let done = Counter::new()?;
        let set = BioSet::new(2)?;
        let device = Arc::new(
            ClaimedDevice::open(present.numbers.first, Claim::Exclusive)?,
            GFP_KERNEL,
        )?;
        let before = device.sectors_done();
        incoming(&set, &device, &done, 0, 16, 40)?.resubmit();
        assert!(done.wait_for(1));
        assert_eq!(done.errors(), 0);
        assert!(holds(&mirror.members[0], 0, 16, 40)? && holds(&mirror.members[1], 0, 16, 40)?);
        // 128 sectors in chunks of 64, each of which counts.
        assert!(mirror.bios.load(Relaxed) >= 2);
        assert_eq!(device.sectors_done() - before, u64::from(16 * PAGE_SECTORS));
        assert!(holds(&device, 0, 16, 40)?);
        assert_eq!(device.in_flight(), 0);
        // A flush has no data, and reaches both.
        assert!(device.flush_wait().is_ok());
        mirror.gate.close()?;
        mirror.gate.wait_empty();
        incoming(&set, &device, &done, 0, 1, 40)?.resubmit();
        assert!(done.wait_for(2));
        assert_eq!(done.errors(), 1);
        mirror.gate.open()?;
        Ok(())
    }

    #[test]
    fn limits_come_into_force() -> Result {
        let mirror = Mirror::new()?;
        let present = add(&mirror)?;
        let disk = &present.disk;
        assert!(disk.logical_block_size() >= 512);
        let mut update = LimitsUpdate::start(disk);
        update.set_io_opt(131072);
        drop(update);
        assert!(BlockDevice::of_disk(disk).optimal_io_size() != 131072);
        let mut update = LimitsUpdate::start(disk);
        update
            .set_io_opt(131072)
            .set_logical_block_size(4096)
            .set_physical_block_size(4096);
        update.commit()?;
        assert_eq!(BlockDevice::of_disk(disk).optimal_io_size(), 131072);
        assert_eq!(disk.logical_block_size(), 4096);
        // Not a power of two.
        let mut update = LimitsUpdate::start(disk);
        update.set_logical_block_size(1000);
        assert_eq!(update.commit(), Err(EINVAL));
        assert_eq!(disk.logical_block_size(), 4096);
        Ok(())
    }

    #[test]
    fn holders_are_linked() -> Result {
        let mirror = Mirror::new()?;
        let present = add(&mirror)?;
        let first = HolderLink::new(mirror.members[0].clone(), &present.disk)?;
        let second = HolderLink::new(mirror.members[1].clone(), &present.disk)?;
        drop(first);
        let again = HolderLink::new(mirror.members[0].clone(), &present.disk)?;
        drop((again, second));
        drop(present);
        Ok(())
    }

    #[test]
    fn a_disk_goes_under_an_opener() -> Result {
        let mirror = Mirror::new()?;
        let present = add(&mirror)?;
        let device = ClaimedDevice::open(present.numbers.first, Claim::Exclusive)?;
        let gone = present.numbers.first;
        drop(present);
        assert!(ClaimedDevice::open(gone, Claim::Exclusive).is_err());
        // The members stay claimed until the mirror itself goes.
        assert_eq!(
            ClaimedDevice::open(number(0)?, Claim::Exclusive).err(),
            Some(EBUSY)
        );
        drop(device);
        Ok(())
    }

    #[test]
    fn reads_go_through() -> Result {
        let mirror = Mirror::new()?;
        let present = add(&mirror)?;
        let (done, set) = (Counter::new()?, BioSet::new(2)?);
        let device = Arc::new(
            ClaimedDevice::open(present.numbers.first, Claim::Exclusive)?,
            GFP_KERNEL,
        )?;
        incoming(&set, &mirror.members[0], &done, 64, 2, 77)?.resubmit();
        assert!(done.wait_for(1));
        let probe = crate::device::Probe {
            device,
            done: done.clone(),
        };
        let mut read = set.with_pages(
            Direction::Read,
            Pages::zeroed(2, GFP_KERNEL)?,
            2 * PAGE_SECTORS,
            probe,
        )?;
        kernel_ext::block::bio::Setup::set_sector(&mut read, 64);
        let mut read = read.submit_wait();
        assert!(read.status().is_ok());
        let pages = read.take_pages().ok_or(EINVAL)?;
        assert!(pages
            .iter()
            .enumerate()
            .all(|(index, page)| page.iter().all(|&byte| byte == 77 + index as u8)));
        Ok(())
    }
}
