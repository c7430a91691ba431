// SPDX-License-Identifier: GPL-2.0

//! The driver as a whole: what is registered when the module is loaded and goes when it is unloaded.

use crate::{
    array::registry::Registry,
    control::{disk::OpenedNode, mdstat::Mdstat, sysctl},
};
use kernel::{prelude::*, sync::Arc};
use kernel_ext::{
    block::major::{Major, MINOR_MAX},
    reboot::{Notifier, Priority, Reboot},
    sync::global::{Global, Publication},
    sysctl::Table,
    uapi::{events::Events, proc},
};

/// The major number of `md` devices.
pub(crate) const MD_MAJOR: u32 = 9;

/// Minors of a partitionable (`mdp`) array, as a shift.
pub(crate) const MDP_MINOR_SHIFT: u32 = 6;

const _: () = assert!(MINOR_MAX == md_core::words::name::MINOR_MAX);

/// What callbacks without a context of their own (module parameters, probing of a major) find the driver by.
pub(crate) static DRIVER: Global<Driver> = Global::new();

/// State shared by all arrays.
pub(crate) struct Driver {
    /// Every array there is.
    pub(crate) registry: Arc<Registry>,
    /// What pollers of `/proc/mdstat` are told of.
    pub(crate) events: Arc<Events>,
}

impl Driver {
    fn new() -> Result<Arc<Self>> {
        let events = Arc::new(Events::new()?, GFP_KERNEL)?;
        let registry = Registry::new(events.clone())?;
        Ok(Arc::new(Self { registry, events }, GFP_KERNEL)?)
    }
}

impl Reboot for Driver {
    fn reboot(&self) {
        // Without memory for the list the arrays are found unclean, as after a power cut.
        for array in self.registry.snapshot().unwrap_or_default() {
            array.prepare_reboot();
        }
    }
}

/// What the module holds while it is loaded.
///
/// Fields are dropped in this order: first nobody can reach the driver any more, then the arrays go, and with them
/// everything that their removal needs.
pub(crate) struct Module {
    _md: Major<OpenedNode>,
    _mdp: Major<OpenedNode>,
    _reboot: Notifier<Driver>,
    _sysctl: Table,
    _mdstat: proc::File<Mdstat>,
    _published: Publication<Driver>,
    registry: Arc<Registry>,
}

impl kernel::Module for Module {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let driver = Driver::new()?;
        let registry = driver.registry.clone();
        // First, as it is what the C driver has, too: nothing of ours may get in the way of that one.
        let md = Major::register(Some(MD_MAJOR), c"md").inspect_err(|_| {
            pr_err!("major {MD_MAJOR} is taken: is the C md driver loaded? (rmmod it first)\n");
        })?;
        let mdp = Major::register(None, c"mdp")?;
        registry.set_mdp_major(mdp.number());
        Ok(Self {
            _md: md,
            _mdp: mdp,
            _reboot: Notifier::register(driver.clone(), Priority::FIRST)?,
            _sysctl: sysctl::register()?,
            _mdstat: proc::File::create(c"mdstat", Mdstat::new(driver.clone())?)?,
            // Last, as arrays can be created from here on: when something above fails there is none.
            _published: DRIVER.publish(driver)?,
            registry,
        })
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        // The module is not in use, so no array is open or running; those that exist are only names.
        self.registry.close();
    }
}
