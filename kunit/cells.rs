// SPDX-License-Identifier: GPL-2.0

//! Pages of atomic bytes, and gates that are suspended for a time: what a lockless bitmap is made of.

use crate::device::{ram, Counter, Probe};
use kernel::{
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        Arc,
    },
    time::{delay::fsleep, Delta},
};
use kernel_ext::{
    alloc::{cells::CellPage, page::PageBuf},
    block::{
        bio::{Flags, Setup},
        bio_set::BioSet,
        status::Status,
        sync_io::PagePart,
    },
    sync::{
        kthread::{Me, Thread, Work},
        percpu_ref::Gate,
        timer::jiffies,
    },
};

/// How often each thread adds one to every byte it is given.
const ROUNDS: usize = 200;

/// Adds to bytes of a page, each by a loop of compare-exchange, as others do at the same time.
struct Adder {
    page: Arc<CellPage>,
    done: Arc<Counter>,
}

impl Work for Adder {
    fn run(&self, _me: &Me) {
        for _ in 0..ROUNDS {
            for at in [0, 1, 511, 4095] {
                let mut old = self.page.load(at);
                while let Err(now) = self.page.compare_exchange(at, old, old.wrapping_add(1)) {
                    old = now;
                }
            }
        }
        self.done.event(Status::OK);
    }
}

/// Goes through a gate over and over. Counts how often it was inside while it should have been alone outside.
struct Visitor {
    gate: Arc<Gate>,
    /// Set while nobody may be inside.
    shut: Arc<Atomic<bool>>,
    intrusions: Arc<Atomic<i32>>,
    visits: Arc<Atomic<i32>>,
}

impl Work for Visitor {
    fn run(&self, me: &Me) {
        while !me.should_stop() {
            let guard = self.gate.enter_wait();
            if self.shut.load(Relaxed) {
                self.intrusions.fetch_add(1, Relaxed);
            }
            self.visits.fetch_add(1, Relaxed);
            drop(guard);
        }
    }
}

fn page() -> Result<Arc<CellPage>> {
    Ok(Arc::new(
        CellPage::from(PageBuf::zeroed(GFP_KERNEL)?),
        GFP_KERNEL,
    )?)
}

#[kunit_tests(kernel_ext_cells)]
mod tests {
    use super::*;

    #[test]
    fn bytes_change_one_by_one() -> Result {
        let mut buffer = PageBuf::zeroed(GFP_KERNEL)?;
        buffer[7] = 0xff;
        let page = CellPage::from(buffer);
        assert_eq!((page.load(6), page.load(7), page.load(8)), (0, 0xff, 0));
        assert_eq!(page.compare_exchange(7, 1, 2), Err(0xff));
        assert_eq!(page.compare_exchange(7, 0xff, 0x80), Ok(()));
        page.store(4094, &[1, 2, 3]);
        let mut read = [9; 4];
        page.read(4094, &mut read);
        assert_eq!(read, [1, 2, 0, 0]);
        assert_eq!((page.load(4096), page.load(usize::MAX)), (0, 0));
        assert!(page.compare_exchange(4096, 0, 1).is_err());
        assert_eq!(page.load(7), 0x80);
        Ok(())
    }

    #[test]
    fn no_change_is_lost_between_threads() -> Result {
        let (page, done) = (page()?, Counter::new()?);
        let adder = || Adder {
            page: page.clone(),
            done: done.clone(),
        };
        let one = Thread::start(c"md_kunit", adder())?;
        let two = Thread::start(c"md_kunit", adder())?;
        one.wake();
        two.wake();
        assert!(done.wait_for(2));
        let sum = (2 * ROUNDS % 256) as u8;
        assert!([0, 1, 511, 4095].iter().all(|&at| page.load(at) == sum));
        assert_eq!((page.load(2), page.load(510), page.load(4094)), (0, 0, 0));
        Ok(())
    }

    #[test]
    fn a_part_of_a_page_is_written() -> Result {
        let (ram0, done, set) = (ram(0)?, Counter::new()?, BioSet::new(2)?);
        let zeroes = PageBuf::zeroed(GFP_KERNEL)?;
        assert!(ram0
            .write_wait(0, &zeroes, PagePart::WHOLE, Flags::NONE)
            .is_ok());
        let page = page()?;
        page.store(0, &[0x11; 4096]);
        let probe = Probe {
            device: ram0.clone(),
            done: done.clone(),
        };
        let part = PagePart::new(2, 3).ok_or(EINVAL)?;
        let mut write = set.write_cells(page, part, probe)?;
        assert_eq!(write.sectors(), 3);
        write.set_sector(2);
        write.submit();
        assert!(done.wait_for(1));
        assert_eq!(done.errors(), 0);
        let mut read = PageBuf::zeroed(GFP_KERNEL)?;
        assert!(ram0
            .read_wait(0, &mut read, PagePart::WHOLE, Flags::NONE)
            .is_ok());
        let inside = |at: usize| (1024..2560).contains(&at);
        let wanted = |(at, byte): (usize, &u8)| (*byte == 0x11) == inside(at);
        assert!(read.iter().enumerate().all(wanted));
        Ok(())
    }

    #[test]
    fn a_suspension_ends_by_itself() -> Result {
        let gate = Gate::<()>::new(())?;
        let inside = gate.enter().ok_or(EINVAL)?;
        let before = jiffies();
        assert_eq!(gate.suspend(5).err(), Some(ETIMEDOUT));
        assert!(jiffies().wrapping_sub(before) >= 5);
        // It is open again, for those who waited, too.
        drop(gate.enter_wait());
        drop(inside);
        // Closing it takes a grace period of RCU, which on a slow machine is long.
        let suspension = gate.suspend(1000)?;
        assert!(gate.enter().is_none() && gate.is_empty());
        assert_eq!(gate.suspend(5).err(), Some(EBUSY));
        drop(suspension);
        assert!(gate.enter().is_some());
        Ok(())
    }

    #[test]
    fn nobody_is_inside_a_suspended_gate_and_all_come_back() -> Result {
        let gate = Arc::new(Gate::<()>::new(())?, GFP_KERNEL)?;
        let shut = Arc::new(Atomic::new(false), GFP_KERNEL)?;
        let intrusions = Arc::new(Atomic::new(0), GFP_KERNEL)?;
        let visits = Arc::new(Atomic::new(0), GFP_KERNEL)?;
        let visitor = || Visitor {
            gate: gate.clone(),
            shut: shut.clone(),
            intrusions: intrusions.clone(),
            visits: visits.clone(),
        };
        let threads = [
            Thread::start(c"md_kunit", visitor())?,
            Thread::start(c"md_kunit", visitor())?,
        ];
        for thread in &threads {
            thread.wake();
        }
        let mut suspended = 0;
        for _ in 0..20 {
            if let Ok(suspension) = gate.suspend(1000) {
                shut.store(true, Relaxed);
                fsleep(Delta::from_millis(1));
                shut.store(false, Relaxed);
                drop(suspension);
                suspended += 1;
            }
            let seen = visits.load(Relaxed);
            let mut patience = 0;
            while visits.load(Relaxed) == seen && patience < 1000 {
                fsleep(Delta::from_millis(1));
                patience += 1;
            }
            // A visitor that was not woken would be asleep for ever.
            assert!(patience < 1000);
        }
        assert_eq!(suspended, 20);
        drop(threads);
        assert_eq!(intrusions.load(Relaxed), 0);
        Ok(())
    }
}
