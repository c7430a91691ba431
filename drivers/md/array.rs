// SPDX-License-Identifier: GPL-2.0

//! What an array is: its settings, who uses it, and its presence in the system.
//!
//! Locks, outermost first:
//!
//! 1. `Registry::creating`: one array is created at a time;
//! 2. the suspension of I/O ([`Array::reconfigure`]): the running array changes;
//! 3. the configuration ([`Array::configure`]): settings and members;
//! 4. [`node::Place`]: the disk and the `md/` directory, held while they are created or looked at;
//! 5. `Registry::arrays`, [`Extents`], the [`status`], [`life::Life`] and [`tracking::Tracking`]: spin locks or short
//!    sections, nothing is taken under them.
//!
//! Nothing waits for the removal of a sysfs file while it holds any of them. I/O of the array may wait for the array's
//! thread, which takes the configuration and nothing above it: so nobody waits for such I/O, nor allocates memory by
//! way of it, with the configuration or anything below it locked. Suspending waits for I/O, hence comes first.
//!
//! [`Extents`]: crate::member::extent::Extents

mod assembly;
mod bitmap;
pub(crate) mod config;
mod grow;
pub(crate) mod hotplug;
pub(crate) mod info;
pub(crate) mod life;
pub(crate) mod live;
mod members;
pub(crate) mod node;
pub(crate) mod registry;
pub(crate) mod reshape;
mod run;
mod sb_io;
mod seats;
pub(crate) mod service;
pub(crate) mod status;
mod takeover;
pub(crate) mod tracking;

use crate::member::entry::Entry;
use bitmap::BitmapSlot;
use config::Config;
use kernel::{
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        new_mutex, Arc, ArcBorrow, Mutex,
    },
    workqueue::{impl_has_work, new_work, Work, WorkItem},
};
use kernel_ext::{
    alloc::noio::NoIo,
    block::major::DeviceNumber,
    sync::{
        gated::{Gated, Suspended},
        peek::{PeekMutex, PeekMutexGuard, Peeked},
    },
};
use life::{Hold, Life, Use};
use live::Live;
use node::Place;
use registry::{Name, Registry};
use run::Running;
pub(crate) use run::SyncSide;
use status::Status;
use takeover::LeavingFiles;

/// An array, from the creation of its disk to the last close of that.
#[pin_data]
pub(crate) struct Array {
    /// The name of its disk.
    pub(crate) name: Name,
    /// The number of its disk.
    pub(crate) number: DeviceNumber,
    /// Where it is listed.
    pub(crate) registry: Arc<Registry>,
    #[pin]
    config: PeekMutex<Config>,
    #[pin]
    life: Life,
    #[pin]
    place: Place,
    live: Gated<Live>,
    /// What the configuration last left to be told; `None` when memory was short.
    #[pin]
    status: Mutex<Option<Arc<Status>>>,
    #[pin]
    bitmap: BitmapSlot,
    /// Partitions must be read again.
    changed: Atomic<bool>,
    #[pin]
    removal: Work<Self>,
}

impl_has_work! {
    impl HasWork<Self> for Array { self.removal }
}

impl WorkItem for Array {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        this.remove();
    }
}

impl Array {
    fn new(
        name: Name,
        number: DeviceNumber,
        hold: Hold,
        registry: Arc<Registry>,
    ) -> Result<Arc<Self>> {
        let live = Gated::new()?;
        let config = Config::new(registry::md_minor(number));
        let status = Arc::new(Status::of(&config)?, GFP_KERNEL)?;
        Arc::pin_init(
            pin_init!(Self {
                name,
                number,
                registry,
                live,
                changed: Atomic::new(false),
                config <- PeekMutex::new(config),
                status <- new_mutex!(Some(status)),
                life <- Life::new(hold),
                place <- Place::new(),
                bitmap <- BitmapSlot::new(),
                removal <- new_work!("Array::removal"),
            }),
            GFP_KERNEL,
        )
    }

    /// Locks the configuration. May sleep. `ENODEV` for an array that was stopped.
    pub(crate) fn configure(&self) -> Result<Configuration<'_>> {
        self.lock_configuration(None)
    }

    /// Locks the configuration with I/O held back, so that the running array can be changed. May sleep, waiting for
    /// all I/O of the array. `ENODEV` for an array that was stopped.
    pub(crate) fn reconfigure(&self) -> Result<Configuration<'_>> {
        self.lock_configuration(Some(self.live.suspend()))
    }

    fn lock_configuration<'a>(
        &'a self,
        suspension: Option<Suspended<'a, Live>>,
    ) -> Result<Configuration<'a>> {
        let no_io = NoIo::enter();
        self.configuration(self.config.lock(), suspension, no_io)
    }

    fn configuration<'a>(
        &'a self,
        config: PeekMutexGuard<'a, Config>,
        suspension: Option<Suspended<'a, Live>>,
        no_io: NoIo,
    ) -> Result<Configuration<'a>> {
        if self.life.is_deleted() {
            return Err(ENODEV);
        }
        Ok(Configuration {
            array: self,
            config: Locked {
                guard: config,
                changed: false,
            },
            suspension,
            _no_io: no_io,
            departed: KVec::new(),
            retired: None,
            files: None,
        })
    }

    /// Looks at the configuration as it is now, though superblocks may be being written that are to say so. May sleep,
    /// but does not wait for members when those do not answer. `ENODEV` for an array that was stopped.
    pub(crate) fn look(&self) -> Result<Looked<'_>> {
        let no_io = NoIo::enter();
        let config = self.config.peek();
        if self.life.is_deleted() {
            return Err(ENODEV);
        }
        Ok(Looked {
            config,
            _no_io: no_io,
        })
    }

    /// Who uses the array, and whether it is being stopped.
    pub(crate) fn life(&self) -> &Life {
        &self.life
    }

    /// The disk and the `md/` directory.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Counts a user until the returned value is dropped. `None` for an array that was stopped.
    pub(crate) fn use_by(this: ArcBorrow<'_, Self>) -> Option<Use> {
        this.life.enter().then(|| Use::new(this.into()))
    }

    /// Ends one use. The last user of an array without any setting takes it along.
    pub(crate) fn end_use(this: ArcBorrow<'_, Self>) {
        if this.life.leave() {
            this.registry.delete_later(this.into());
        }
    }

    /// Removes the array from the system. May sleep, waiting for running attribute functions: no lock may be held.
    pub(crate) fn remove(&self) {
        let departed = self.config.lock().reset();
        drop(departed);
        drop(self.place.take());
        self.registry.forget(self);
    }

    /// Stops the array for good: forgets all settings, and removes it unless an administrator asked for the old way.
    ///
    /// May sleep; no lock may be held.
    pub(crate) fn stop(&self, removal: Removal) -> Result {
        let mut config = self.reconfigure()?;
        self.halt(&mut config)?;
        let departed = config.reset();
        let delete = self.life.stop(removal);
        drop(config);
        drop(departed);
        self.place.with_name(|name| pr_info!("{name}: stopped\n"));
        self.notify_state();
        self.registry.events.notify();
        if delete {
            self.remove();
        }
        Ok(())
    }

    /// The running array, for I/O.
    pub(crate) fn live(&self) -> &Gated<Live> {
        &self.live
    }

    /// There is work for the thread of a running array. Any context. While the array changes nobody is woken: who
    /// changes it does what is to be done.
    pub(crate) fn wake_thread(&self) {
        if let kernel_ext::sync::gated::Entry::Entered(live) = self.live.enter() {
            live.wake_thread();
        }
    }

    /// Partitions are to be read again on the next open.
    fn media_changed(&self) {
        self.changed.store(true, Relaxed);
    }

    /// Whether partitions are to be read again, which is said once.
    pub(crate) fn take_media_change(&self) -> bool {
        self.changed.xchg(false, Relaxed)
    }

    /// Tells who polls `array_state`. Any context that may sleep.
    pub(crate) fn notify_state(&self) {
        self.place.notify_state();
    }

    /// The machine is going down: an array that is not being written is left clean. One that somebody changes just now
    /// is left as it is: that one may wait for a member for ever.
    pub(crate) fn prepare_reboot(&self) {
        let no_io = NoIo::enter();
        let Some(config) = self.config.try_lock() else {
            return;
        };
        if let Ok(mut config) = self.configuration(config, None, no_io) {
            config.serve();
            config.leave_clean();
        }
    }
}

/// When a stopped array leaves the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Removal {
    /// Before the stop returns.
    Now,
    /// On the last close, and not at all while it is held by name or number (`legacy_async_del_gendisk`).
    Later,
}

/// The locked configuration of an array.
///
/// Fields are dropped in this order: members that have left, and threads, go when the locks are free again, as their
/// removal waits for attribute functions and the like, which may be waiting for a lock.
pub(crate) struct Configuration<'a> {
    array: &'a Array,
    config: Locked<'a>,
    suspension: Option<Suspended<'a, Live>>,
    _no_io: NoIo,
    departed: KVec<Entry>,
    retired: Option<Running>,
    files: Option<LeavingFiles<'a>>,
}

/// The configuration of an array, to be looked at.
pub(crate) struct Looked<'a> {
    config: Peeked<'a, Config>,
    _no_io: NoIo,
}

impl core::ops::Deref for Looked<'_> {
    type Target = Config;

    fn deref(&self) -> &Config {
        &self.config
    }
}

/// Settings and members while they are locked.
struct Locked<'a> {
    guard: PeekMutexGuard<'a, Config>,
    /// Whether somebody may have changed them since the status was kept.
    changed: bool,
}

impl core::ops::Deref for Locked<'_> {
    type Target = Config;

    fn deref(&self) -> &Config {
        &self.guard
    }
}

impl core::ops::DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut Config {
        self.changed = true;
        &mut self.guard
    }
}

impl Configuration<'_> {
    /// Waits for members, which may not answer: others may look at the configuration meanwhile, as it is to be known
    /// once they have. May sleep.
    fn aside<R>(&mut self, f: impl FnOnce() -> R) -> R {
        self.config.guard.aside(f)
    }

    /// The running array, to be changed. `EBUSY` when I/O is not held back.
    fn live_mut(&mut self) -> Result<&mut Option<Live>> {
        self.suspension.as_mut().map(Suspended::value).ok_or(EBUSY)
    }
}

impl core::ops::Deref for Configuration<'_> {
    type Target = Config;

    fn deref(&self) -> &Config {
        &self.config
    }
}

impl core::ops::DerefMut for Configuration<'_> {
    fn deref_mut(&mut self) -> &mut Config {
        &mut self.config
    }
}

impl Drop for Configuration<'_> {
    fn drop(&mut self) {
        self.publish();
        self.array.life.set_configured(self.config.is_configured());
        self.departed = self.config.guard.departed();
    }
}
