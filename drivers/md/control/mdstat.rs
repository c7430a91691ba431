// SPDX-License-Identifier: GPL-2.0

//! `/proc/mdstat`.

use crate::{
    array::{
        status::{Listing, Member, Status},
        Array,
    },
    driver::Driver,
    personality,
};
use core::fmt::{self, Write};
use kernel::{prelude::*, seq_file::SeqFile, seq_print, sync::Arc};
use kernel_ext::uapi::{events::Events, proc::Contents};
use md_core::{
    state::array::{self, Array as State, Failure},
    words::mdstat::{
        print_array, print_personalities, print_unused, Access, Active, ArrayView, Health, Run,
    },
};

/// The contents of `/proc/mdstat`.
pub(crate) struct Mdstat(Arc<Driver>);

impl Mdstat {
    pub(crate) fn new(driver: Arc<Driver>) -> Result<Arc<Self>> {
        Ok(Arc::new(Self(driver), GFP_KERNEL)?)
    }
}

impl Contents for Mdstat {
    fn show(&self, out: &SeqFile) -> Result {
        let mut out = Printer(out);
        let arrays = self.0.registry.snapshot()?;
        self.print(&mut out, &arrays).map_err(|_| EIO)
    }

    fn events(&self) -> &Events {
        &self.0.events
    }
}

impl Mdstat {
    fn print(&self, out: &mut Printer<'_>, arrays: &[Arc<Array>]) -> fmt::Result {
        print_personalities(out, personality::LEVELS)?;
        for array in arrays {
            print(out, array)?;
        }
        print_unused(out)
    }
}

/// Prints an array, without waiting for who has its configuration.
fn print(out: &mut Printer<'_>, array: &Array) -> fmt::Result {
    let Ok(status) = array.status() else {
        // It was stopped while this was printed.
        return Ok(());
    };
    let Some(listing) = status.listing() else {
        return Ok(());
    };
    let run = run_of(&status, listing);
    // The last added comes first, as in C.
    let members = listing.members.iter().rev().map(Member::view);
    let view = ArrayView {
        name: array.name.as_str(),
        metadata: listing.metadata,
        run,
        bitmap: status.bitmap(),
    };
    print_array(out, &view, members, listing.slots())
}

/// Whether the array runs, and what it says of itself then.
fn run_of(status: &Status, listing: &Listing) -> Run {
    let (Some(shape), Some(State::Running { access, failure })) = (listing.shape, status.state())
    else {
        return Run::Inactive;
    };
    Run::Active(Active {
        level: shape.level,
        health: match failure {
            Failure::Intact => Health::Sound,
            Failure::Broken => Health::Broken,
        },
        access: match access {
            array::Access::Writable(_) => Access::ReadWrite,
            array::Access::ReadOnly => Access::ReadOnly,
            array::Access::ReadAuto => Access::AutoReadOnly,
        },
        size: shape.size,
        geometry: shape.geometry,
        degraded: u32::from(listing.degraded),
        sync: status.sync_line(),
    })
}

/// Lets the pure printers write to the file.
struct Printer<'a>(&'a SeqFile);

impl Write for Printer<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        seq_print!(self.0, "{text}");
        Ok(())
    }
}
