// SPDX-License-Identifier: GPL-2.0

//! What the tests of bios share: RAM disks, pages, and waiting for an end.

use kernel::{
    prelude::*,
    sync::{
        atomic::{Acquire, Atomic, Full, Relaxed},
        Arc,
    },
    time::{delay::fsleep, Delta},
};
use kernel_ext::{
    alloc::page::{Pages, PAGE_SECTORS},
    block::{
        bdev::{BlockDevice, Claim, ClaimedDevice, Target},
        bio::Bio,
        bio::Direction,
        bio::Setup,
        bio_set::{BioSet, Complete, CompletedBio},
        major::DeviceNumber,
        status::Status,
    },
    sync::wait::{Outcome, WaitQueue},
};

/// The major number of RAM disks.
const RAMDISK_MAJOR: u32 = 1;

/// Long enough for anything but a hang, in jiffies.
pub(crate) const LONG: usize = 10_000;

/// The number of a RAM disk.
pub(crate) fn number(minor: u32) -> Result<DeviceNumber> {
    DeviceNumber::new(RAMDISK_MAJOR, minor).ok_or(EINVAL)
}

/// A RAM disk. A test before may have left it claimed by a disk whose last close is still on its way.
pub(crate) fn ram(minor: u32) -> Result<Arc<ClaimedDevice>> {
    let mut tries = 0;
    let device = loop {
        match ClaimedDevice::open(number(minor)?, Claim::Exclusive) {
            Err(EBUSY) if tries < 100 => {
                tries += 1;
                fsleep(Delta::from_millis(10));
            }
            other => break other?,
        }
    };
    Ok(Arc::new(device, GFP_KERNEL)?)
}

/// Counts events, and lets a test wait for them.
#[pin_data]
pub(crate) struct Counter {
    #[pin]
    queue: WaitQueue,
    count: Atomic<i32>,
    /// Errors among them.
    errors: Atomic<i32>,
}

impl Counter {
    /// No event yet.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                queue <- WaitQueue::new(),
                count: Atomic::new(0),
                errors: Atomic::new(0),
            }),
            GFP_KERNEL,
        )
    }

    /// One more.
    pub(crate) fn event(&self, status: Status) {
        if !status.is_ok() {
            self.errors.fetch_add(1, Relaxed);
        }
        self.count.fetch_add(1, Full);
        self.queue.wake_all();
    }

    /// How many there were.
    pub(crate) fn count(&self) -> i32 {
        self.count.load(Acquire)
    }

    /// How many of them were errors.
    pub(crate) fn errors(&self) -> i32 {
        self.errors.load(Acquire)
    }

    /// Waits for as many.
    pub(crate) fn wait_for(&self, count: i32) -> bool {
        self.queue.wait_timeout(LONG, || self.count() >= count) == Outcome::True
    }
}

/// What goes with the bios of the tests.
pub(crate) struct Probe {
    pub(crate) device: Arc<ClaimedDevice>,
    pub(crate) done: Arc<Counter>,
}

impl Target for Probe {
    fn device(&self) -> &BlockDevice {
        &self.device
    }
}

impl Complete for Probe {
    fn complete(mut bio: CompletedBio<Self>) {
        let status = bio.status();
        let done = bio.value().done.clone();
        drop(bio);
        done.event(status);
    }
}

/// Pages in which each byte tells its page and the test.
pub(crate) fn pattern(pages: usize, seed: u8) -> Result<Pages> {
    let mut buffer = Pages::zeroed(pages, GFP_KERNEL)?;
    for (index, page) in buffer.iter_mut().enumerate() {
        page.fill(seed.wrapping_add(index as u8));
    }
    Ok(buffer)
}

/// A write of `pages` pages at `sector`, as if it came to a disk of ours.
pub(crate) fn incoming(
    set: &BioSet<Probe>,
    device: &Arc<ClaimedDevice>,
    done: &Arc<Counter>,
    sector: u64,
    pages: usize,
    seed: u8,
) -> Result<Bio> {
    let probe = Probe {
        device: device.clone(),
        done: done.clone(),
    };
    let sectors = PAGE_SECTORS * u32::try_from(pages)?;
    let mut bio = set.with_pages(Direction::Write, pattern(pages, seed)?, sectors, probe)?;
    bio.set_sector(sector);
    Ok(bio.into_bio())
}

/// Whether as many pages from `sector` on have the pattern of `seed`.
pub(crate) fn holds(device: &BlockDevice, sector: u64, pages: usize, seed: u8) -> Result<bool> {
    use kernel_ext::{
        alloc::page::PageBuf,
        block::{bio::Flags, sync_io::PagePart},
    };
    let mut page = PageBuf::zeroed(GFP_KERNEL)?;
    for index in 0..pages {
        let at = sector + u64::from(PAGE_SECTORS) * index as u64;
        device
            .read_wait(at, &mut page, PagePart::WHOLE, Flags::NONE)
            .to_result()?;
        if page
            .iter()
            .any(|&byte| byte != seed.wrapping_add(index as u8))
        {
            return Ok(false);
        }
    }
    Ok(true)
}
