// SPDX-License-Identifier: GPL-2.0

//! Who uses an array, and what that means for its being there.

use super::{Array, Removal};
use kernel::{
    prelude::*,
    sync::{new_spinlock, Arc, SpinLock},
};

/// What keeps an array without any setting in the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Nothing: it goes with its last user.
    None,
    /// It was created by its number, and stays until the first ioctl that does something.
    UntilIoctl,
    /// It was created by its name, and stays until it is stopped.
    UntilStop,
}

/// Whether an array can still be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It can.
    Open,
    /// It is being stopped: nobody may open it.
    Closing,
    /// It was stopped for good: nobody may use it.
    Deleted,
}

struct State {
    phase: Phase,
    hold: Hold,
    /// Whether there is any setting worth keeping; a copy of what the configuration says.
    configured: bool,
    /// Openers of the disk, running attribute functions and the like.
    users: u32,
    /// Openers of the disk.
    openers: u32,
}

/// The life of an array. All methods may be called in any context.
#[pin_data]
pub(crate) struct Life {
    #[pin]
    state: SpinLock<State>,
}

impl Life {
    /// An array with one user, its creator.
    pub(super) fn new(hold: Hold) -> impl PinInit<Self> {
        pin_init!(Self {
            state <- new_spinlock!(State {
                phase: Phase::Open,
                hold,
                configured: false,
                users: 1,
                openers: 0,
            }),
        })
    }

    /// Whether the array was stopped for good.
    pub(super) fn is_deleted(&self) -> bool {
        self.state.lock().phase == Phase::Deleted
    }

    /// Counts a user, unless the array was stopped for good.
    pub(super) fn enter(&self) -> bool {
        let mut state = self.state.lock();
        if state.phase == Phase::Deleted {
            return false;
        }
        state.users = state.users.saturating_add(1);
        true
    }

    /// Ends a use. True when the array is now to be removed, which is said once.
    pub(super) fn leave(&self) -> bool {
        let mut state = self.state.lock();
        state.users = state.users.saturating_sub(1);
        let last = state.users == 0
            && state.phase != Phase::Deleted
            && state.hold == Hold::None
            && !state.configured;
        if last {
            state.phase = Phase::Deleted;
        }
        last
    }

    /// Counts an opener of the disk, who is a user too. `ENODEV` while or after the array is stopped.
    pub(crate) fn open(&self) -> Result {
        let mut state = self.state.lock();
        if state.phase != Phase::Open {
            return Err(ENODEV);
        }
        state.users = state.users.saturating_add(1);
        state.openers = state.openers.saturating_add(1);
        Ok(())
    }

    /// Ends an opener's part that [`Life::leave`] does not: to be called before it.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.openers = state.openers.saturating_sub(1);
    }

    /// Whether anybody has the disk open.
    pub(crate) fn has_openers(&self) -> bool {
        self.state.lock().openers != 0
    }

    /// Keeps everybody from opening the disk, until the returned value is dropped or the array is stopped.
    ///
    /// `EBUSY` when somebody else does the same, or more than `most_openers` have it open.
    pub(crate) fn begin_closing(&self, most_openers: u32) -> Result<Closing<'_>> {
        let mut state = self.state.lock();
        if state.phase != Phase::Open || state.openers > most_openers {
            return Err(EBUSY);
        }
        state.phase = Phase::Closing;
        drop(state);
        Ok(Closing(self))
    }

    /// An ioctl did something: an array that was only a number is not held any more.
    pub(crate) fn end_hold_by_number(&self) {
        let mut state = self.state.lock();
        if state.hold == Hold::UntilIoctl {
            state.hold = Hold::None;
        }
    }

    /// Nothing keeps the array but its users.
    pub(super) fn end_all_holds(&self) {
        let mut state = self.state.lock();
        state.hold = Hold::None;
        state.configured = false;
    }

    /// The array is stopped. True when it is to be removed now.
    pub(super) fn stop(&self, removal: Removal) -> bool {
        let mut state = self.state.lock();
        state.configured = false;
        match removal {
            Removal::Now => {
                state.hold = Hold::None;
                core::mem::replace(&mut state.phase, Phase::Deleted) != Phase::Deleted
            }
            Removal::Later => {
                // Held by name or number: it may be opened again. Otherwise it goes with its last user, the caller.
                if state.hold != Hold::None && state.phase == Phase::Closing {
                    state.phase = Phase::Open;
                }
                false
            }
        }
    }

    /// The module goes: true when the array, which nobody can be using, is to be removed now.
    pub(super) fn shut_down(&self) -> bool {
        let mut state = self.state.lock();
        core::mem::replace(&mut state.phase, Phase::Deleted) != Phase::Deleted
    }

    pub(super) fn set_configured(&self, configured: bool) {
        self.state.lock().configured = configured;
    }
}

/// While this lives nobody can open the disk.
pub(crate) struct Closing<'a>(&'a Life);

impl Closing<'_> {
    /// The array was stopped: it stays closed.
    pub(crate) fn stay_closed(self) {
        core::mem::forget(self);
    }
}

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        if state.phase == Phase::Closing {
            state.phase = Phase::Open;
        }
    }
}

/// One user of an array. Dropping it may remove the array (from a worker).
pub(crate) struct Use(Arc<Array>);

impl Use {
    /// Takes over a use that was counted before.
    pub(super) fn new(array: Arc<Array>) -> Self {
        Self(array)
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        Array::end_use(self.0.as_arc_borrow());
    }
}
