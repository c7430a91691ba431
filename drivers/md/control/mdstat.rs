// SPDX-License-Identifier: GPL-2.0

//! `/proc/mdstat`.

use crate::{
    array::{config::Config, Array},
    driver::Driver,
    member::entry::Entry as MemberEntry,
    personality,
};
use core::fmt::{self, Write};
use kernel::{prelude::*, seq_file::SeqFile, seq_print, sync::Arc};
use kernel_ext::uapi::{events::Events, proc::Contents};
use md_core::{
    state::{
        array::{self, Array as State, Failure},
        member::{Member as MemberState, Seat},
    },
    units::Slot,
    words::mdstat::{
        print_array, print_personalities, print_unused, Access, Active, ArrayView, Health,
        MemberView, Reads, Role, Run, SlotHealth, SyncLine,
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

/// An array with neither slots nor members is not worth a line.
fn print(out: &mut Printer<'_>, array: &Array) -> fmt::Result {
    let Ok(config) = array.configure() else {
        // It was stopped while this was printed.
        return Ok(());
    };
    if config.raid_disks == 0 && config.members.is_empty() {
        return Ok(());
    }
    let run = run_of(&config);
    let members = config.members.iter().map(member);
    array
        .place()
        .with_disk(|disk| {
            let view = ArrayView {
                name: disk.name().to_str().unwrap_or("md?"),
                metadata: config.metadata,
                run,
                bitmap: None,
            };
            let slots = (0..config.raid_disks).map(|slot| slot_health(&config, Slot::new(slot)));
            print_array(out, &view, members, slots)
        })
        .unwrap_or(Ok(()))
}

/// Whether the array runs, and what it says of itself then.
fn run_of(config: &Config) -> Run {
    let Some(running) = &config.running else {
        return Run::Inactive;
    };
    let State::Running { access, failure } = running.tracking.state() else {
        return Run::Inactive;
    };
    Run::Active(Active {
        level: running.level,
        health: match failure {
            Failure::Intact => Health::Sound,
            Failure::Broken => Health::Broken,
        },
        access: match access {
            array::Access::Writable(_) => Access::ReadWrite,
            array::Access::ReadOnly => Access::ReadOnly,
            array::Access::ReadAuto => Access::AutoReadOnly,
        },
        size: running.size,
        geometry: running.geometry,
        degraded: u32::from(config.degraded()),
        sync: running.sync.as_ref().map_or(SyncLine::Nothing, |sync| {
            sync.state.line(config.resync_due())
        }),
    })
}

/// Whether a slot has a member with current data.
fn slot_health(config: &Config, slot: Slot) -> SlotHealth {
    match config.in_sync_of(slot) {
        Some(_) => SlotHealth::InSync,
        None => SlotHealth::Missing,
    }
}

fn member(entry: &MemberEntry) -> MemberView<'_> {
    MemberView {
        name: entry.device().sysfs_name().to_str().unwrap_or("?"),
        number: Some(entry.number),
        role: match entry.state {
            MemberState::Faulty { .. } => Role::Faulty,
            MemberState::Spare { .. } => Role::Spare,
            MemberState::Journal { .. } => Role::Journal,
            MemberState::InSync(place) | MemberState::Rebuilding { place, .. } => {
                match place.seat {
                    Seat::Main => Role::InSlot,
                    Seat::Replacement => Role::Replacement,
                }
            }
        },
        reads: if entry.write_mostly {
            Reads::WriteMostly
        } else {
            Reads::Normal
        },
        size: entry.data.size,
    }
}

/// Lets the pure printers write to the file.
struct Printer<'a>(&'a SeqFile);

impl Write for Printer<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        seq_print!(self.0, "{text}");
        Ok(())
    }
}
