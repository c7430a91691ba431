// SPDX-License-Identifier: GPL-2.0

//! Fans, on RAM disks.

use crate::device::{holds, incoming, ram, Counter, Probe};
use kernel::{
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        Arc,
    },
};
use kernel_ext::{
    alloc::{mempool::Wait, page::PAGE_SECTORS},
    block::{
        bdev::{ClaimedDevice, Target},
        bio::{Bio, Dataless, Flags, Part, Setup},
        bio_set::BioSet,
        fan::{Early, Fan, FanPool, Leg, Request},
        parked::Parked,
        status::Status,
    },
};

/// What `finish` does with a fan.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Finish {
    Complete,
    Park,
    Forget,
}

/// A request that reports what happens to it.
struct Mirror {
    legs: Arc<Counter>,
    parked: Arc<Parked<Fan<Mirror>>>,
    finished: Arc<Counter>,
    last: Atomic<u32>,
    finish: Finish,
    early: Early,
}

impl Request for Mirror {
    type Leg = Arc<ClaimedDevice>;

    fn leg_done(&self, leg: Leg<'_, Self>) {
        self.last.store(u32::from(leg.index()), Relaxed);
        self.legs.event(leg.status());
    }

    fn originals_done(&self) -> Early {
        self.early
    }

    fn finish(fan: Fan<Self>) {
        let finished = fan.finished.clone();
        let status = fan
            .legs()
            .fold(Status::OK, |first, leg| first.and(leg.status()));
        match fan.finish {
            Finish::Complete => fan.complete(status),
            Finish::Park => {
                let parked = fan.parked.clone();
                parked.push(fan);
            }
            Finish::Forget => drop(fan),
        }
        finished.event(status);
    }
}

/// All that a test needs.
struct Bench {
    disks: [Arc<ClaimedDevice>; 2],
    above: Arc<Counter>,
    legs: Arc<Counter>,
    finished: Arc<Counter>,
    parked: Arc<Parked<Fan<Mirror>>>,
    pool: FanPool<Mirror>,
    // Last: the fans of the pool end bios of this set.
    set: BioSet<Probe>,
}

impl Bench {
    fn new() -> Result<Self> {
        Ok(Self {
            disks: [ram(0)?, ram(1)?],
            above: Counter::new()?,
            legs: Counter::new()?,
            finished: Counter::new()?,
            parked: Arc::new(Parked::new(), GFP_KERNEL)?,
            pool: FanPool::new(2, 3)?,
            set: BioSet::new(2)?,
        })
    }

    /// A fan of a write of `pages` pages at sector 0.
    fn fan(&self, pages: usize, seed: u8, finish: Finish, early: Early) -> Result<Fan<Mirror>> {
        let parent = incoming(&self.set, &self.disks[0], &self.above, 0, pages, seed)?;
        self.fan_of(parent, finish, early)
    }

    fn fan_of(&self, parent: Bio, finish: Finish, early: Early) -> Result<Fan<Mirror>> {
        let request = Mirror {
            legs: self.legs.clone(),
            parked: self.parked.clone(),
            finished: self.finished.clone(),
            last: Atomic::new(u32::MAX),
            finish,
            early,
        };
        let Some(room) = self.pool.room(Wait::Yes) else {
            parent.end(Status::RESOURCE);
            return Err(ENOMEM);
        };
        Ok(room.fan(parent, request))
    }
}

#[kunit_tests(kernel_ext_fan)]
mod tests {
    use super::*;

    #[test]
    fn room_that_is_not_used_goes_back() -> Result {
        let bench = Bench::new()?;
        drop(bench.pool.room(Wait::Yes).ok_or(ENOMEM)?);
        // This waits for what is lent.
        drop(bench);
        Ok(())
    }

    #[test]
    fn a_write_reaches_all_legs() -> Result {
        let bench = Bench::new()?;
        let mut fan = bench.fan(4, 11, Finish::Complete, Early::Wait)?;
        for (disk, sector) in bench.disks.iter().zip([4096, 8192 - 4096 + 1024]) {
            let mut leg = fan.add_leg(disk.clone())?;
            leg.set_sector(sector);
            assert_eq!(leg.sectors(), 4 * PAGE_SECTORS);
        }
        fan.submit();
        assert!(bench.above.wait_for(1));
        assert_eq!((bench.above.errors(), bench.legs.count()), (0, 2));
        assert!(holds(&bench.disks[0], 4096, 4, 11)?);
        assert!(holds(&bench.disks[1], 5120, 4, 11)?);
        Ok(())
    }

    #[test]
    fn a_leg_of_a_discard_may_be_longer() -> Result {
        let bench = Bench::new()?;
        let mut fan = bench.fan(4, 23, Finish::Complete, Early::Wait)?;
        let mut leg = fan.add_leg(bench.disks[0].clone())?;
        assert_eq!(leg.set_sectors(8), Err(EINVAL));
        leg.set_sector(2048);
        fan.submit();
        assert!(bench.above.wait_for(1));

        let probe = Probe {
            device: bench.disks[0].clone(),
            done: bench.above.clone(),
        };
        let parent = bench.set.dataless(Dataless::Discard, PAGE_SECTORS, probe)?;
        let mut fan = bench.fan_of(parent.into_bio(), Finish::Complete, Early::Wait)?;
        let mut leg = fan.add_leg(bench.disks[0].clone())?;
        assert_eq!(leg.set_sectors(0), Err(EINVAL));
        leg.set_sectors(2 * PAGE_SECTORS)?;
        leg.set_sector(2048);
        fan.submit();
        assert!(bench.above.wait_for(2));
        assert_eq!(bench.above.errors(), 0);
        // Discarded pages read as zeroes, and the one behind them as what was written.
        assert!(holds(&bench.disks[0], 2048, 1, 0)?);
        assert!(holds(
            &bench.disks[0],
            2048 + u64::from(PAGE_SECTORS),
            1,
            0
        )?);
        assert!(holds(
            &bench.disks[0],
            2048 + 2 * u64::from(PAGE_SECTORS),
            1,
            25
        )?);
        Ok(())
    }

    #[test]
    fn many_fans_at_once() -> Result {
        let bench = Bench::new()?;
        for round in 0..200 {
            let mut fan = bench.fan(1, round as u8, Finish::Complete, Early::Wait)?;
            for disk in &bench.disks {
                fan.add_leg(disk.clone())?
                    .set_sector(u64::from(PAGE_SECTORS) * round);
            }
            fan.submit();
        }
        assert!(bench.above.wait_for(200));
        assert_eq!(
            (
                bench.above.errors(),
                bench.legs.count(),
                bench.legs.errors()
            ),
            (0, 400, 0)
        );
        assert!(holds(
            &bench.disks[1],
            u64::from(PAGE_SECTORS) * 199,
            1,
            199
        )?);
        Ok(())
    }

    #[test]
    fn a_failed_leg_is_reported_and_retried() -> Result {
        let bench = Bench::new()?;
        let mut fan = bench.fan(1, 5, Finish::Park, Early::Wait)?;
        let end = bench.disks[0].sectors();
        fan.add_leg(bench.disks[0].clone())?.set_sector(end);
        fan.add_leg(bench.disks[1].clone())?.set_sector(0);
        fan.submit();
        assert!(bench.finished.wait_for(1));
        assert_eq!(bench.legs.errors(), 1);
        assert_eq!(bench.above.count(), 0);
        let mut fan = bench.parked.take_all().next().ok_or(EINVAL)?;
        let statuses: (Option<bool>, Option<bool>) = {
            let mut legs = fan.legs().map(|leg| leg.status().is_ok());
            (legs.next(), legs.next())
        };
        assert_eq!(statuses, (Some(false), Some(true)));
        fan.clear_legs();
        fan.finish = Finish::Complete;
        fan.add_leg(bench.disks[0].clone())?.set_sector(2048);
        fan.submit();
        assert!(bench.above.wait_for(1));
        assert_eq!(bench.above.errors(), 0);
        assert!(holds(&bench.disks[0], 2048, 1, 5)?);
        Ok(())
    }

    #[test]
    fn legs_are_trimmed_and_limited() -> Result {
        let bench = Bench::new()?;
        let mut fan = bench.fan(3, 70, Finish::Complete, Early::Wait)?;
        let mut leg = fan.add_leg(bench.disks[0].clone())?;
        leg.trim(Part {
            skip: PAGE_SECTORS,
            sectors: PAGE_SECTORS,
        })?;
        leg.set_sector(3072);
        assert_eq!(leg.sectors(), PAGE_SECTORS);
        assert_eq!(
            leg.trim(Part {
                skip: 1,
                sectors: PAGE_SECTORS
            }),
            Err(EINVAL)
        );
        assert_eq!(
            leg.trim(Part {
                skip: 0,
                sectors: 0
            }),
            Err(EINVAL)
        );
        fan.add_leg(bench.disks[1].clone())?.set_sector(0);
        fan.add_leg(bench.disks[1].clone())?.set_sector(1024);
        assert_eq!(fan.add_leg(bench.disks[1].clone()).err(), Some(ENOSPC));
        fan.submit();
        assert!(bench.above.wait_for(1));
        assert!(holds(&bench.disks[0], 3072, 1, 71)?);
        Ok(())
    }

    #[test]
    fn a_copy_outlives_the_parent() -> Result {
        let bench = Bench::new()?;
        let mut fan = bench.fan(2, 120, Finish::Park, Early::End(Status::OK))?;
        fan.copy_data()?;
        fan.add_leg(bench.disks[0].clone())?.set_sector(0);
        fan.add_copy_leg(bench.disks[1].clone())?.set_sector(6144);
        fan.submit();
        assert!(bench.above.wait_for(1));
        assert!(bench.finished.wait_for(1));
        let mut fan = bench.parked.take_all().next().ok_or(EINVAL)?;
        assert!(fan.parent().is_none());
        assert_eq!(fan.add_leg(bench.disks[0].clone()).err(), Some(EINVAL));
        // The copy is still there to be written again.
        let part = Part {
            skip: PAGE_SECTORS,
            sectors: PAGE_SECTORS,
        };
        let data = fan.data().ok_or(EINVAL)?;
        let status = data.do_part(part, bench.disks[1].device(), 7000, Flags::NONE);
        assert_eq!(status, Status::OK);
        assert!(holds(&bench.disks[1], 7000, 1, 121)?);
        fan.clear_legs();
        fan.finish = Finish::Complete;
        fan.add_copy_leg(bench.disks[1].clone())?.set_sector(7168);
        fan.submit();
        assert!(bench.finished.wait_for(2));
        assert!(holds(&bench.disks[1], 6144, 2, 120)?);
        assert!(holds(&bench.disks[1], 7168, 2, 120)?);
        assert_eq!((bench.above.count(), bench.above.errors()), (1, 0));
        Ok(())
    }

    #[test]
    fn a_parent_that_may_not_end_early_waits() -> Result {
        let bench = Bench::new()?;
        let mut fan = bench.fan(1, 9, Finish::Complete, Early::Wait)?;
        fan.copy_data()?;
        fan.add_leg(bench.disks[0].clone())?.set_sector(0);
        fan.add_copy_leg(bench.disks[1].clone())?.set_sector(0);
        fan.submit();
        assert!(bench.above.wait_for(1));
        assert_eq!((bench.legs.count(), bench.above.errors()), (2, 0));
        Ok(())
    }

    #[test]
    fn a_dropped_fan_ends_its_parent() -> Result {
        let bench = Bench::new()?;
        let mut fan = bench.fan(1, 1, Finish::Forget, Early::Wait)?;
        fan.add_leg(bench.disks[0].clone())?.set_sector(0);
        drop(fan);
        assert!(bench.above.wait_for(1));
        assert_eq!((bench.above.errors(), bench.finished.count()), (1, 0));
        // Without legs it finishes at once.
        bench.fan(1, 1, Finish::Complete, Early::Wait)?.submit();
        assert!(bench.above.wait_for(2));
        assert_eq!((bench.above.errors(), bench.finished.count()), (1, 1));
        Ok(())
    }
}
