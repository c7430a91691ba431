// SPDX-License-Identifier: GPL-2.0

//! Devices, bios and what goes with them, on RAM disks.

use crate::device::{holds, incoming, number, pattern, ram, Counter, Probe};
use kernel::{
    prelude::*,
    sync::{atomic::Atomic, atomic::Relaxed, Arc},
};
use kernel_ext::{
    alloc::page::{PageBuf, Pages, PAGE_SECTORS},
    block::{
        badblocks::{Ack, BadBlocks, Check, Entry, Range, RawEntry},
        bdev::{Claim, ClaimedDevice},
        bio::{Bio, Dataless, Direction, Flags, Op, Part, Setup},
        bio_set::BioSet,
        limits::{Features, Limits},
        parked::{Parked, Taken, Was},
        plug::{hold_back, plugged, Reason, Unplug},
        status::Status,
        sync_io::PagePart,
    },
};

/// Notes the sectors of the bios it gets, as decimal digits, and ends them.
struct Collector {
    seen: Atomic<i32>,
    calls: Atomic<i32>,
}

impl Unplug for Collector {
    type Item = Bio;

    fn unplug(this: Arc<Self>, items: Taken<Bio>, _reason: Reason) {
        this.calls.fetch_add(1, Relaxed);
        for bio in items {
            let digit = (bio.sector() / u64::from(PAGE_SECTORS)) as i32;
            this.seen
                .store(this.seen.load(Relaxed) * 10 + digit, Relaxed);
            bio.end(Status::OK);
        }
    }
}

fn collector() -> Result<Arc<Collector>> {
    let collector = Collector {
        seen: Atomic::new(0),
        calls: Atomic::new(0),
    };
    Ok(Arc::new(collector, GFP_KERNEL)?)
}

fn bad(start: u64, sectors: u64) -> Range {
    Range { start, sectors }
}

#[kunit_tests(kernel_ext_block)]
mod tests {
    use super::*;

    #[test]
    fn status_and_errno() -> Result {
        assert!(Status::OK.to_result().is_ok());
        assert_eq!(Status::IO_ERROR.to_result(), Err(EIO));
        assert_eq!(Status::from(EIO), Status::IO_ERROR);
        assert_eq!(Status::from(ENOMEM), Status::RESOURCE);
        assert_eq!(Status::OK.and(Status::MEDIUM), Status::MEDIUM);
        assert_eq!(Status::MEDIUM.and(Status::IO_ERROR), Status::MEDIUM);
        Ok(())
    }

    #[test]
    fn claims_exclude_each_other() -> Result {
        let first = ClaimedDevice::open(number(0)?, Claim::Exclusive)?;
        assert_eq!(
            ClaimedDevice::open(number(0)?, Claim::Exclusive).err(),
            Some(EBUSY)
        );
        assert_eq!(
            ClaimedDevice::open(number(0)?, Claim::Shared).err(),
            Some(EBUSY)
        );
        drop(first);
        let shared = ClaimedDevice::open(number(0)?, Claim::Shared)?;
        let other = ClaimedDevice::open(number(0)?, Claim::Shared)?;
        assert_eq!(
            ClaimedDevice::open(number(0)?, Claim::Exclusive).err(),
            Some(EBUSY)
        );
        assert!(shared.same_disk(&other));
        drop((shared, other));
        assert!(ClaimedDevice::open(number(0)?, Claim::Exclusive).is_ok());
        // No driver has this major number.
        let nobody = kernel_ext::block::major::DeviceNumber::new(4000, 7).ok_or(EINVAL)?;
        assert!(ClaimedDevice::open(nobody, Claim::Exclusive).is_err());
        Ok(())
    }

    #[test]
    fn device_facts() -> Result {
        let (ram0, ram1) = (ram(0)?, ram(1)?);
        assert!(ram0.sectors() > 0);
        assert_eq!(ram0.number(), number(0)?);
        assert_eq!(ram0.sysfs_name(), c"ram0");
        let mut text = [0u8; 16];
        let mut writer = kernel::str::Formatter::new(&mut text);
        assert!(core::fmt::Write::write_fmt(&mut writer, format_args!("{}", ram0.name())).is_ok());
        assert_eq!(&text[..5], b"ram0\0");
        assert_eq!(ram0.partition(), 0);
        assert!(!ram0.is_read_only());
        assert!(ram0.logical_block_size() >= 512);
        assert!(!ram0.same_disk(&ram1));
        assert!(ram0.whole().same_disk(&ram0));
        Ok(())
    }

    #[test]
    fn page_io_is_waited_for() -> Result {
        let ram0 = ram(0)?;
        let mut page = PageBuf::zeroed(GFP_KERNEL)?;
        page.fill(0xa5);
        assert!(ram0
            .write_wait(64, &page, PagePart::WHOLE, Flags::SYNC | Flags::FUA)
            .is_ok());
        assert!(holds(&ram0, 64, 1, 0xa5)?);
        // A part of a page lands in the same part.
        page.fill(0);
        let part = PagePart::new(0, 8).ok_or(EINVAL)?;
        assert!(ram0.read_wait(64, &mut page, part, Flags::NONE).is_ok());
        assert_eq!(page[4095], 0xa5);
        assert!(
            PagePart::new(8, 1).is_none()
                && PagePart::new(4, 5).is_none()
                && PagePart::new(0, 0).is_none()
        );
        // Beyond the end of the device.
        let end = ram0.sectors();
        assert_eq!(
            ram0.read_wait(end, &mut page, PagePart::WHOLE, Flags::NONE),
            Status::IO_ERROR
        );
        assert!(ram0.flush_wait().is_ok());
        Ok(())
    }

    #[test]
    fn pages_come_back() -> Result {
        let (ram0, done, set) = (ram(0)?, Counter::new()?, BioSet::new(2)?);
        let probe = || Probe {
            device: ram0.clone(),
            done: done.clone(),
        };
        let mut write =
            set.with_pages(Direction::Write, pattern(3, 7)?, 3 * PAGE_SECTORS, probe())?;
        write.set_sector(128);
        write.add_flags(Flags::SYNC);
        assert_eq!(write.op(), Op::Write);
        assert_eq!(write.sectors(), 3 * PAGE_SECTORS);
        write.submit();
        assert!(done.wait_for(1));
        assert_eq!(done.errors(), 0);
        let mut read = set.with_pages(
            Direction::Read,
            Pages::zeroed(3, GFP_KERNEL)?,
            3 * PAGE_SECTORS,
            probe(),
        )?;
        read.set_sector(128);
        let mut read = read.submit_wait();
        assert!(read.status().is_ok());
        let pages = read.take_pages().ok_or(EINVAL)?;
        assert!(pages
            .iter()
            .enumerate()
            .all(|(index, page)| page.iter().all(|&byte| byte == 7 + index as u8)));
        // The wait took the place of `complete`.
        drop(read);
        assert_eq!(done.count(), 1);
        // More sectors than pages.
        let none = set.with_pages(Direction::Write, pattern(1, 0)?, 2 * PAGE_SECTORS, probe());
        assert_eq!(none.err(), Some(EINVAL));
        Ok(())
    }

    #[test]
    fn a_set_without_data_has_none_to_give() -> Result {
        let (ram0, done) = (ram(0)?, Counter::new()?);
        let probe = || Probe {
            device: ram0.clone(),
            done: done.clone(),
        };
        let set = BioSet::without_data(2)?;
        let pages = Arc::new(pattern(1, 1)?, GFP_KERNEL)?;
        let write = set.write_shared(pages, PAGE_SECTORS, probe());
        assert_eq!(write.err(), Some(EINVAL));
        set.dataless(Dataless::Flush, 0, probe())?.submit();
        assert!(done.wait_for(1));
        Ok(())
    }

    #[test]
    fn shared_pages_are_written_twice() -> Result {
        let (ram0, ram1, done) = (ram(0)?, ram(1)?, Counter::new()?);
        let set = BioSet::new(2)?;
        let pages = Arc::new(pattern(2, 33)?, GFP_KERNEL)?;
        for device in [&ram0, &ram1] {
            let probe = Probe {
                device: device.clone(),
                done: done.clone(),
            };
            let mut write = set.write_shared(pages.clone(), 2 * PAGE_SECTORS, probe)?;
            write.set_sector(256);
            write.submit();
        }
        assert!(done.wait_for(2));
        assert!(holds(&ram0, 256, 2, 33)? && holds(&ram1, 256, 2, 33)?);
        Ok(())
    }

    #[test]
    fn parents_wait_for_children() -> Result {
        let (ram0, above, below) = (ram(0)?, Counter::new()?, Counter::new()?);
        let set = BioSet::new(4)?;
        let mut parent = incoming(&set, &ram0, &above, 0, 1, 1)?;
        let child = set.child(
            &mut parent,
            Dataless::Flush,
            0,
            Probe {
                device: ram0.clone(),
                done: below.clone(),
            },
        )?;
        parent.end(Status::OK);
        assert_eq!(above.count(), 0);
        child.submit();
        assert!(below.wait_for(1));
        assert!(above.wait_for(1));
        assert_eq!(above.errors(), 0);
        // A child that was given up lets its parent go on, too; errors of children are not inherited.
        let mut parent = incoming(&set, &ram0, &above, 0, 1, 1)?;
        let child = set.clone_of(
            &mut parent,
            Probe {
                device: ram0.clone(),
                done: below.clone(),
            },
        )?;
        assert_eq!(child.sectors(), parent.sectors());
        parent.end(Status::MEDIUM);
        drop(child);
        assert!(above.wait_for(2));
        assert_eq!(above.errors(), 1);
        assert_eq!(
            set.dataless(
                Dataless::Flush,
                1,
                Probe {
                    device: ram0,
                    done: below
                }
            )
            .err(),
            Some(EINVAL)
        );
        Ok(())
    }

    #[test]
    fn a_dropped_bio_ends_with_an_error() -> Result {
        let (ram0, done, set) = (ram(0)?, Counter::new()?, BioSet::new(2)?);
        drop(incoming(&set, &ram0, &done, 0, 1, 1)?);
        assert!(done.wait_for(1));
        assert_eq!(done.errors(), 1);
        Ok(())
    }

    #[test]
    fn bios_are_split_and_remapped() -> Result {
        let (ram0, ram1, done) = (ram(0)?, ram(1)?, Counter::new()?);
        let set = BioSet::new(2)?;
        let bio = incoming(&set, &ram0, &done, 512, 4, 90)?;
        let front = bio.split_front(PAGE_SECTORS).ok_or(EIO)?;
        assert_eq!((front.sector(), front.sectors()), (512, PAGE_SECTORS));
        front.remap(&ram1, 1024);
        assert!(done.wait_for(1));
        assert_eq!(done.errors(), 0);
        assert!(holds(&ram1, 1024, 1, 90)?);
        assert!(holds(&ram0, 512 + u64::from(PAGE_SECTORS), 3, 91)?);
        let bio = incoming(&set, &ram0, &done, 512, 1, 90)?;
        assert!(bio.split_front(0).is_none());
        assert!(done.wait_for(2));
        assert_eq!(done.errors(), 1);
        Ok(())
    }

    #[test]
    fn parts_are_written_alone() -> Result {
        let (ram0, ram1, done) = (ram(0)?, ram(1)?, Counter::new()?);
        let set = BioSet::new(2)?;
        let bio = incoming(&set, &ram0, &done, 0, 3, 50)?;
        let part = Part {
            skip: PAGE_SECTORS,
            sectors: PAGE_SECTORS,
        };
        assert!(bio.do_part(part, &ram1, 2048, Flags::SYNC).is_ok());
        assert!(holds(&ram1, 2048, 1, 51)?);
        let outside = Part {
            skip: PAGE_SECTORS,
            sectors: 3 * PAGE_SECTORS,
        };
        assert_eq!(
            bio.do_part(outside, &ram1, 2048, Flags::SYNC),
            Status::INVALID
        );
        bio.end(Status::OK);
        assert!(done.wait_for(1));
        assert_eq!(done.errors(), 0);
        Ok(())
    }

    #[test]
    fn parked_bios_keep_their_order() -> Result {
        let (ram0, done, set) = (ram(0)?, Counter::new()?, BioSet::new(8)?);
        let parked = Parked::new();
        assert!(parked.is_empty());
        assert_eq!(
            parked.push(incoming(&set, &ram0, &done, 8, 1, 1)?),
            Was::Empty
        );
        assert_eq!(
            parked.push(incoming(&set, &ram0, &done, 16, 1, 1)?),
            Was::Filled
        );
        assert_eq!(
            parked.push(incoming(&set, &ram0, &done, 24, 1, 1)?),
            Was::Filled
        );
        let mut taken = parked.take_all();
        assert!(parked.is_empty());
        let first = taken.next().ok_or(EINVAL)?;
        assert_eq!(first.sector(), 8);
        first.end(Status::OK);
        let second = taken.next().ok_or(EINVAL)?;
        assert_eq!(second.sector(), 16);
        second.end(Status::OK);
        // What is not taken ends with an error, never is lost.
        drop(taken);
        assert!(done.wait_for(3));
        assert_eq!(done.errors(), 1);
        Ok(())
    }

    #[test]
    fn plugs_hold_back() -> Result {
        let (ram0, done, set) = (ram(0)?, Counter::new()?, BioSet::new(8)?);
        let owner = collector()?;
        // Without a plug the bio comes back.
        match hold_back(&owner, incoming(&set, &ram0, &done, 8, 1, 1)?, 8) {
            Ok(()) => assert!(false),
            Err(bio) => bio.end(Status::OK),
        }
        let seen_inside = plugged(|| -> Result<i32> {
            for index in 1..=3 {
                let bio = incoming(&set, &ram0, &done, 8 * index, 1, 1)?;
                hold_back(&owner, bio, 8)
                    .map_err(|bio| bio.end(Status::OK))
                    .map_err(|()| ENOMEM)?;
            }
            Ok(owner.seen.load(Relaxed))
        })?;
        assert_eq!(seen_inside, 0);
        assert_eq!(
            (owner.seen.load(Relaxed), owner.calls.load(Relaxed)),
            (123, 1)
        );
        // A full batch does not wait for the end.
        let seen_inside = plugged(|| -> Result<i32> {
            for index in 4..=6 {
                let bio = incoming(&set, &ram0, &done, 8 * index, 1, 1)?;
                hold_back(&owner, bio, 2)
                    .map_err(|bio| bio.end(Status::OK))
                    .map_err(|()| ENOMEM)?;
            }
            Ok(owner.seen.load(Relaxed))
        })?;
        assert_eq!(seen_inside, 12345);
        assert_eq!(
            (owner.seen.load(Relaxed), owner.calls.load(Relaxed)),
            (123456, 3)
        );
        assert!(done.wait_for(7));
        assert_eq!(done.errors(), 0);
        Ok(())
    }

    #[test]
    fn limits_narrow() -> Result {
        let ram0 = ram(0)?;
        let mut limits = Limits::stacking();
        limits
            .add_features(Features::WRITE_CACHE | Features::FUA)
            .stack(&ram0, 0, c"md_kunit");
        assert!(limits.logical_block_size() >= ram0.logical_block_size());
        limits.set_logical_block_size(4096).set_io_opt(65536);
        assert_eq!(
            (limits.logical_block_size(), limits.io_opt()),
            (4096, 65536)
        );
        assert!(limits.stack_integrity(&ram0).is_ok());
        Ok(())
    }

    #[test]
    fn bad_blocks() -> Result {
        let list = KBox::pin_init(BadBlocks::new(), GFP_KERNEL)?;
        assert_eq!(list.check(bad(0, 1000)), Check::Good);
        list.add(bad(100, 8), Ack::Unacknowledged)?;
        list.add(bad(300, 600), Ack::Acknowledged)?;
        assert_eq!(list.check(bad(0, 100)), Check::Good);
        assert_eq!(list.check(bad(0, 200)), Check::Unacknowledged(bad(100, 8)));
        assert!(matches!(
            list.check(bad(200, 200)),
            Check::Acknowledged(Range { start: 300, .. })
        ));
        assert!(list.has_unacknowledged() && list.is_changed());
        // 600 sectors take two entries.
        let mut raw = [RawEntry::default(); 8];
        assert_eq!(list.copy(&mut raw), 3);
        assert_eq!(
            Entry::from(raw[0]),
            Entry {
                range: bad(100, 8),
                ack: Ack::Unacknowledged
            }
        );
        assert_eq!(Entry::from(raw[1]).ack, Ack::Acknowledged);
        assert!(!list.is_changed());
        list.ack_all();
        assert_eq!(list.check(bad(0, 200)), Check::Acknowledged(bad(100, 8)));
        list.remove(bad(100, 8))?;
        assert_eq!(list.check(bad(0, 200)), Check::Good);
        list.store(c"42 3\n", Ack::Unacknowledged)?;
        assert_eq!(list.store(c"nonsense", Ack::Acknowledged), Err(EINVAL));
        let mut page = PageBuf::zeroed(GFP_KERNEL)?;
        let bytes = list.show(&mut page, Some(Ack::Unacknowledged));
        assert_eq!(page.get(..bytes), Some(&b"42 3\n"[..]));
        assert_eq!(list.shift(), Some(0));
        list.set_shift(None);
        assert_eq!(list.shift(), None);
        Ok(())
    }
}
