// SPDX-License-Identifier: GPL-2.0

//! A disk without data for user space to play with, while the module is loaded: `tests/lib/kunit.sh` opens it, asks it
//! with ioctls, and reads, writes and polls the files of an object below it.

use crate::device::ram;
use core::fmt::Write;
use kernel::{
    prelude::*,
    sync::{
        atomic::{Atomic, Full, Relaxed},
        new_mutex, Arc, ArcBorrow, Mutex,
    },
    uaccess::{UserPtr, UserSlice},
};
use kernel_ext::{
    block::{
        bio::Bio,
        disk::{Disk, DiskRef, Geometry, MediaChange, Numbers, OpenDisk, Operations, ReadOnly},
        holder::HolderLink,
        major::{DeviceNumber, Major, Probe},
        status::Status,
    },
    sysfs::{Access, Attribute, Dirent, Group, Kobject, Page, Payload},
};

/// With this number nobody may open the disk, nor read or write the object's files.
const SHUT: i32 = 13;

/// Swaps the two halves of eight bytes at the address that is the argument.
const SWAP: u32 = 0x6d01;
/// Writes the disk's page cache back.
const SYNC: u32 = 0x6d02;
/// Sets the number to the argument.
const SET: u32 = 0x6d03;

/// The minor number that was last looked for in vain.
static PROBED: Atomic<i32> = Atomic::new(-1);

/// What disk and object are about.
#[pin_data]
struct State {
    number: Atomic<i32>,
    openers: Atomic<i32>,
    /// The file `number`, for those who poll it.
    #[pin]
    file: Mutex<Option<Dirent>>,
}

impl State {
    fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                number: Atomic::new(0),
                openers: Atomic::new(0),
                file <- new_mutex!(None),
            }),
            GFP_KERNEL,
        )
    }

    fn set(&self, number: i32) {
        self.number.store(number, Relaxed);
        if let Some(file) = &*self.file.lock() {
            file.notify();
        }
    }

    fn admit(&self) -> Result {
        if self.number.load(Relaxed) == SHUT {
            return Err(EBUSY);
        }
        Ok(())
    }
}

impl Operations for State {
    const GEOMETRY: Geometry = Geometry {
        heads: 3,
        sectors: 7,
    };

    fn submit_bio(_this: ArcBorrow<'_, Self>, bio: Bio) {
        bio.end(Status::OK);
    }

    fn open(this: ArcBorrow<'_, Self>, _disk: &DiskRef) -> Result {
        this.admit()?;
        this.openers.fetch_add(1, Full);
        Ok(())
    }

    fn release(this: ArcBorrow<'_, Self>) {
        this.openers.fetch_add(-1, Full);
    }

    fn ioctl(
        this: ArcBorrow<'_, Self>,
        disk: OpenDisk<'_>,
        command: u32,
        argument: usize,
    ) -> Result {
        match command {
            SWAP => {
                let mut bytes = [0; 8];
                let user = || UserSlice::new(UserPtr::from_addr(argument), bytes.len());
                let (mut from, mut to) = (user().reader(), user().writer());
                from.read_slice(&mut bytes)?;
                bytes.rotate_left(4);
                to.write_slice(&bytes)
            }
            SYNC => disk.sync(),
            SET => {
                this.set(i32::try_from(argument).map_err(|_| ERANGE)?);
                Ok(())
            }
            _ => Err(ENOTTY),
        }
    }

    fn compat_argument(_command: u32, argument: usize) -> usize {
        argument
    }

    fn check_events(_this: ArcBorrow<'_, Self>) -> MediaChange {
        MediaChange::Same
    }

    fn set_read_only(_this: ArcBorrow<'_, Self>, to: ReadOnly) -> Result {
        match to {
            ReadOnly::Yes => Ok(()),
            ReadOnly::No => Err(EROFS),
        }
    }
}

static NUMBER: Attribute<State> =
    Attribute::new(c"number", 0o644, Some(number_show), Some(number_store));
static MUTE: Attribute<State> = Attribute::new(c"mute", 0o644, None, None);
static LONG: Attribute<State> = Attribute::new(c"long", 0o444, Some(long_show), None);
static OPENERS: Attribute<State> = Attribute::new(c"openers", 0o444, Some(openers_show), None);
static PROBED_FILE: Attribute<State> = Attribute::new(c"probed", 0o444, Some(probed_show), None);
static FILES: Group<State> = Group::new(
    None,
    &[
        Some(&NUMBER),
        Some(&MUTE),
        Some(&LONG),
        Some(&OPENERS),
        Some(&PROBED_FILE),
        None,
    ],
);
static INNER: Attribute<State> =
    Attribute::new(c"number", 0o600, Some(number_show), Some(number_store));
static BELOW: Group<State> = Group::new(Some(c"below"), &[Some(&INNER), None]);

fn print(page: &mut Page<'_>, number: i32) -> Result {
    writeln!(page, "{number}").map_err(|_| EIO)
}

fn number_show(this: ArcBorrow<'_, State>, page: &mut Page<'_>) -> Result {
    print(page, this.number.load(Relaxed))
}

fn number_store(this: ArcBorrow<'_, State>, text: &[u8]) -> Result {
    let text = core::str::from_utf8(text).map_err(|_| EINVAL)?;
    this.set(text.trim_end().parse().map_err(|_| EINVAL)?);
    Ok(())
}

/// More than a page.
fn long_show(_this: ArcBorrow<'_, State>, page: &mut Page<'_>) -> Result {
    for _ in 0..1000 {
        page.push(b"0123456789");
    }
    Ok(())
}

fn openers_show(this: ArcBorrow<'_, State>, page: &mut Page<'_>) -> Result {
    print(page, this.openers.load(Relaxed))
}

fn probed_show(_this: ArcBorrow<'_, State>, page: &mut Page<'_>) -> Result {
    print(page, PROBED.load(Relaxed))
}

impl Payload for State {
    const GROUPS: &'static [Option<&'static Group<Self>>] = &[Some(&FILES), Some(&BELOW), None];

    type Guard<'a> = ();

    fn enter(this: ArcBorrow<'_, Self>, _access: Access) -> Result {
        this.admit()
    }
}

/// Notes whom somebody looked for.
struct Seeker;

impl Probe for Seeker {
    fn probe(number: DeviceNumber) {
        PROBED.store(i32::try_from(number.minor()).unwrap_or(-2), Relaxed);
    }
}

/// The disk and what belongs to it. What is below the disk goes before it.
pub(crate) struct Toy {
    _link: HolderLink,
    _object: Kobject<State>,
    _disk: Disk<State>,
    _major: Major<Seeker>,
}

impl Toy {
    pub(crate) fn new() -> Result<Self> {
        let state = State::new()?;
        let major = Major::<Seeker>::register(None, c"md_kunit_toy")?;
        let first = DeviceNumber::new(major.number(), 0).ok_or(EINVAL)?;
        let numbers = Numbers { first, minors: 1 };
        let disk = Disk::add(
            numbers,
            kernel::prelude::fmt!("md_kunit_toy"),
            state.clone(),
        )?;
        let object = Kobject::add(&disk, c"toy", state.clone())?;
        object.add_link(&disk, c"disk")?;
        *state.file.lock() = object.dirent(c"number");
        let link = HolderLink::new(ram(2)?, &disk)?;
        Ok(Self {
            _link: link,
            _object: object,
            _disk: disk,
            _major: major,
        })
    }
}
