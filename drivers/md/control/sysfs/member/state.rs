// SPDX-License-Identifier: GPL-2.0

//! `md/dev-X/state`: what a member is, and words that change it.

use super::{seen, writable, This};
use crate::{
    array::{Array, Configuration},
    control::sysfs::line,
    error::OrErrno,
    member::{marks::Mark, Health, Member},
};
use kernel::prelude::*;
use kernel_ext::sysfs::{Attribute, Page};
use md_core::{
    state::member::{Event, Member as State, Seat},
    words::member::{MemberCommand as Command, UnackedBadBlocks},
};

pub(super) static STATE: Attribute<Member> =
    writable(c"state", show, store).removes_itself(asks_for_removal);

fn asks_for_removal(text: &[u8]) -> bool {
    Command::parse(text) == Ok(Command::Remove)
}

fn show(this: This<'_>, page: &mut Page<'_>) -> Result {
    let unrecorded = if this.bad_blocks().has_unacknowledged() {
        UnackedBadBlocks::Some
    } else {
        UnackedBadBlocks::None
    };
    seen(this, |entry| line(page, entry.flags().shown(unrecorded)))
}

fn store(this: This<'_>, text: &[u8]) -> Result {
    let command = Command::parse(text).or_errno()?;
    let array: &Array = &this.array;
    match command {
        Command::Remove => return remove(this),
        Command::ReAdd => {
            let mut config = array.reconfigure()?;
            let index = config.position(&this)?;
            return array.readd(&mut config, index);
        }
        _ => {}
    }
    // Writes may be behind on it, for which only reads of a slow member wait.
    let mut config = if command.needs_suspend() {
        array.reconfigure()?
    } else {
        array.configure()?
    };
    let index = config.position(&this)?;
    if command == Command::Faulty {
        return config.declare_faulty(index);
    }
    obey(&mut config, &this, index, command)?;
    if command.changes_superblock() {
        config.record_devices();
    }
    config.entry(&this)?.notify_state();
    Ok(())
}

/// Carries out a word that changes nothing but the member. `EINVAL` when it is not for a member like this, `EBUSY` when
/// it is for one of an array that does not run.
fn obey(config: &mut Configuration<'_>, this: &Member, index: usize, command: Command) -> Result {
    let running = config.running.is_some();
    let external = config.is_external();
    let entry = config.entry(this)?;
    match command {
        Command::WriteMostly => entry.set_write_mostly(true),
        Command::NotWriteMostly => entry.set_write_mostly(false),
        Command::FailFast => entry.set_failfast(true),
        Command::NotFailFast => entry.set_failfast(false),
        Command::WriteError => drop_was(this.mark(Mark::WriteError, true)),
        Command::NoWriteError => drop_was(this.mark(Mark::WriteError, false)),
        Command::Blocked => drop_was(this.mark(Mark::Blocked, true)),
        Command::NotBlocked => unblock(config, this, index),
        Command::WantReplacement => {
            let is_main = entry
                .state
                .place()
                .is_some_and(|place| place.seat == Seat::Main);
            if is_main {
                this.mark(Mark::WantReplacement, true);
            }
            config.look_for_work();
        }
        Command::NotWantReplacement => drop_was(this.mark(Mark::WantReplacement, false)),
        Command::Replacement | Command::NotReplacement if running => return Err(EBUSY),
        Command::Replacement => entry.set_replaces(true),
        Command::NotReplacement => entry.set_replaces(false),
        Command::InSync if entry.slot().is_none() => {}
        Command::NotInSync if !running => {
            if let State::InSync(place) = entry.state {
                entry.state = State::Spare {
                    last: Some(place.slot),
                };
            }
        }
        Command::ExternalBbl if external => {
            this.mark(Mark::ExternalBadBlocks, true);
            this.bad_blocks().set_shift(Some(0));
        }
        Command::NotExternalBbl if external => drop_was(this.mark(Mark::ExternalBadBlocks, false)),
        _ => return Err(EINVAL),
    }
    Ok(())
}

/// A mark was set; what it was does not matter.
fn drop_was(_was: bool) {}

/// Writes to the member go on: somebody has taken note of its failure or of its bad blocks. A program that records
/// no bad blocks can only have taken note of a failure.
fn unblock(config: &mut Configuration<'_>, this: &Member, index: usize) {
    let unrecorded = this.bad_blocks().has_unacknowledged() && !this.has(Mark::ExternalBadBlocks);
    let is_faulty = |state: State| matches!(state, State::Faulty { .. });
    if let Ok(entry) = config.entry(this) {
        if is_faulty(entry.state) {
            if let Ok(next) = entry
                .state
                .step(Event::Acknowledge, &crate::array::hotplug::QUIET)
            {
                entry.state = next.after(entry.state);
                entry.member.set_health(Health::Failed);
            }
        } else if unrecorded {
            // Whether the array can do without it or not, it is not blocked any more.
            let _ = config.declare_faulty(index);
        }
    }
    this.mark(Mark::Blocked, false);
    config.wake_writers();
    // Writes that failed on it end now.
    config.serve();
    config.look_for_work();
}

fn remove(this: This<'_>) -> Result {
    this.array.configure()?.awaits_program()?;
    let mut config = this.array.reconfigure()?;
    if config.running.is_none() {
        return config.remove(&this);
    }
    let index = config.position(&this)?;
    this.array.hot_remove(&mut config, index)
}
