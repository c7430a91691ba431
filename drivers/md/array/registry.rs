// SPDX-License-Identifier: GPL-2.0

//! All arrays there are: creation, names and numbers, removal.

use super::{
    life::{Hold, Use},
    Array,
};
use crate::{
    driver::{MDP_MINOR_SHIFT, MD_MAJOR},
    error::OrErrno,
    member::extent::Extents,
    sync::turns::Turns,
};
use kernel::{
    prelude::*,
    str::CString,
    sync::{
        atomic::{Atomic, Relaxed},
        new_condvar, new_mutex, Arc, CondVar, Mutex,
    },
    workqueue::Queue,
};
use kernel_ext::{
    block::{
        disk::Numbers,
        major::{DeviceNumber, MINOR_MAX},
    },
    uapi::events::Events,
    workqueue::OwnedQueue,
};
use md_core::words::name::{ArrayName, ShortText, DISK_NAME_LEN};

/// Named arrays take the next free minor from here up.
const FIRST_NAMED_MINOR: u32 = 512;

/// What names and numbers there are.
struct Arrays {
    /// Oldest first.
    list: KVec<Arc<Array>>,
    /// Where the search for a named array's minor goes on.
    next_minor: u32,
    /// The module is going: no more arrays.
    closed: bool,
}

impl Arrays {
    fn has_number(&self, number: DeviceNumber) -> bool {
        self.list.iter().any(|array| array.number == number)
    }

    /// A free number for an array with a name.
    fn free_number(&mut self) -> Result<DeviceNumber> {
        for _ in 0..=MINOR_MAX {
            let number = DeviceNumber::new(MD_MAJOR, self.next_minor).ok_or(ENODEV)?;
            self.next_minor = if self.next_minor == MINOR_MAX {
                0
            } else {
                self.next_minor.saturating_add(1)
            };
            if !self.has_number(number) {
                return Ok(number);
            }
        }
        Err(ENODEV)
    }
}

/// The list of arrays.
#[pin_data]
pub(crate) struct Registry {
    /// Held while an array is created: what it waits for, and what it makes, is one step to everybody else.
    #[pin]
    creating: Mutex<()>,
    #[pin]
    arrays: Mutex<Arrays>,
    /// Told when an array has left the list.
    #[pin]
    gone: CondVar,
    /// Removes arrays that went with their last user, who may hold locks that a removal takes.
    removals: OwnedQueue,
    /// Looks after requests that failed, of which some wait long. Nobody waits for this queue while there are arrays.
    repairs: OwnedQueue,
    /// Submits writes that waited for their bitmap.
    pub(crate) marked_writes: OwnedQueue,
    mdp_major: Atomic<u32>,
    /// Which passes wait for which.
    pub(crate) turns: Arc<Turns>,
    /// What members have of disks that several arrays share.
    pub(crate) extents: Arc<Extents>,
    /// What pollers of `/proc/mdstat` are told of.
    pub(crate) events: Arc<Events>,
}

/// Which array is to be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The one of this node.
    Node(DeviceNumber),
    /// The one of this name.
    Named(Name),
}

/// The name of a disk without its final NUL.
pub(crate) type Name = ShortText<{ DISK_NAME_LEN - 1 }>;

impl Wanted {
    /// The array that `new_array` asks for.
    pub(crate) fn by_name(name: ArrayName) -> Result<Self> {
        Ok(match name {
            ArrayName::Minor(minor) => {
                Self::Node(DeviceNumber::new(MD_MAJOR, minor).ok_or(EINVAL)?)
            }
            ArrayName::Named(name) => Self::Named(name),
        })
    }
}

/// The number that an array goes by (`md_minor`): its disk's, or that of its kind among partitionable disks.
pub(super) fn md_minor(number: DeviceNumber) -> u32 {
    if number.major() == MD_MAJOR {
        number.minor()
    } else {
        number.minor() >> MDP_MINOR_SHIFT
    }
}

/// What the disk of an array is called that was given no name.
fn name_of(number: DeviceNumber) -> Result<Name> {
    let minor = md_minor(number);
    let name = if number.major() == MD_MAJOR {
        CString::try_from_fmt(fmt!("md{minor}"))?
    } else {
        CString::try_from_fmt(fmt!("md_d{minor}"))?
    };
    Name::new(name.to_bytes()).or_errno()
}

impl Registry {
    pub(crate) fn new(events: Arc<Events>) -> Result<Arc<Self>> {
        let removals = OwnedQueue::new(c"md_misc")?;
        let repairs = OwnedQueue::new(c"md_repair")?;
        let turns = Turns::new()?;
        let extents = Extents::new()?;
        let marked_writes = OwnedQueue::new(c"md_bitmap")?;
        Arc::pin_init(
            pin_init!(Self {
                creating <- new_mutex!(()),
                arrays <- new_mutex!(Arrays {
                    list: KVec::new(),
                    next_minor: FIRST_NAMED_MINOR,
                    closed: false,
                }),
                gone <- new_condvar!(),
                removals,
                repairs,
                turns,
                extents,
                marked_writes,
                mdp_major: Atomic::new(0),
                events,
            }),
            GFP_KERNEL,
        )
    }

    /// The major number of partitionable arrays is known.
    pub(crate) fn set_mdp_major(&self, major: u32) {
        self.mdp_major.store(major, Relaxed);
    }

    /// Creates an array. May sleep. `EEXIST` when there is one of that name or number.
    pub(crate) fn create(this: &Arc<Self>, wanted: Wanted) -> Result {
        // An array of the same name may be on its way out.
        this.removals.flush();
        let _creating = this.creating.lock();
        let array = this.enlist(this.clone(), wanted)?;
        // Without a setting and unheld the array goes with its creator's use.
        let _use = Use::new(array.clone());
        let created = this.place(&array);
        if created.is_err() {
            // It has no disk: nobody can ever use it.
            array.life().end_all_holds();
        }
        created
    }

    /// Gives a new array its disk.
    fn place(&self, array: &Arc<Array>) -> Result {
        let number = array.number;
        let mut numbers = Numbers {
            first: number,
            minors: 1,
        };
        if number.major() != MD_MAJOR {
            numbers.minors = 1 << MDP_MINOR_SHIFT;
        }
        array
            .place()
            .create(numbers, format_args!("{}", array.name), array.clone())
    }

    /// Puts a new array on the list, with its name and number reserved.
    fn enlist(&self, this: Arc<Self>, wanted: Wanted) -> Result<Arc<Array>> {
        let mut arrays = self.arrays.lock();
        if arrays.closed {
            return Err(ENODEV);
        }
        let (number, hold, name) = match wanted {
            Wanted::Named(name) => (arrays.free_number()?, Hold::UntilStop, name),
            Wanted::Node(number) => {
                let number = self.unit_of(number)?;
                (number, Hold::UntilIoctl, name_of(number)?)
            }
        };
        // A partitionable array's name may have been given to another.
        let is_taken = |array: &Arc<Array>| array.number == number || array.name == name;
        if arrays.list.iter().any(is_taken) {
            return Err(EEXIST);
        }
        let array = Array::new(name, number, hold, this)?;
        arrays.list.push(array.clone(), GFP_KERNEL)?;
        Ok(array)
    }

    /// The whole disk of a node: a partition's node of a partitionable array stands for the array.
    fn unit_of(&self, number: DeviceNumber) -> Result<DeviceNumber> {
        if number.major() == MD_MAJOR {
            return Ok(number);
        }
        if number.major() != self.mdp_major.load(Relaxed) {
            return Err(ENODEV);
        }
        let minor = number.minor() >> MDP_MINOR_SHIFT << MDP_MINOR_SHIFT;
        DeviceNumber::new(number.major(), minor).ok_or(EINVAL)
    }

    /// Workers for what may not be done where it is found to be needed; work of arrays that run only.
    pub(crate) fn workers(&self) -> &Queue {
        &self.repairs
    }

    /// Has a worker remove an array that nobody uses any more. Any context.
    pub(super) fn delete_later(&self, array: Arc<Array>) {
        // Queueing fails only while the work is queued, and an array is deleted once.
        let _ = self.removals.enqueue(array);
    }

    /// An array left the system.
    pub(super) fn forget(&self, array: &Array) {
        let mut arrays = self.arrays.lock();
        let position = arrays
            .list
            .iter()
            .position(|listed| core::ptr::eq(&**listed, array));
        let listed = position.and_then(|at| arrays.list.remove(at).ok());
        drop(arrays);
        // Possibly the last reference: not to be dropped under the lock.
        drop(listed);
        self.gone.notify_all();
    }

    /// The arrays there are, the newest first. May sleep.
    pub(crate) fn snapshot(&self) -> Result<KVec<Arc<Array>>> {
        let arrays = self.arrays.lock();
        let mut list = KVec::with_capacity(arrays.list.len(), GFP_KERNEL)?;
        for array in arrays.list.iter().rev() {
            list.push(array.clone(), GFP_KERNEL)?;
        }
        Ok(list)
    }

    /// Removes every array and lets no new one come. Nobody may be using one. May sleep.
    pub(crate) fn close(&self) {
        self.arrays.lock().closed = true;
        // What was being created is on the list now.
        drop(self.creating.lock());
        self.removals.flush();
        while let Some(array) = self.last() {
            if array.life().shut_down() {
                array.remove();
            } else {
                self.await_removal(&array);
            }
        }
        self.removals.flush();
        // The last of what they had was an array.
        self.repairs.flush();
    }

    fn last(&self) -> Option<Arc<Array>> {
        self.arrays.lock().list.last().cloned()
    }

    /// Waits until somebody else's removal of `array` has ended.
    fn await_removal(&self, array: &Arc<Array>) {
        let mut arrays = self.arrays.lock();
        while arrays.list.iter().any(|listed| Arc::ptr_eq(listed, array)) {
            self.gone.wait(&mut arrays);
        }
    }
}
