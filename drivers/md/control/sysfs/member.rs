// SPDX-License-Identifier: GPL-2.0

//! `md/dev-X/`: files about one member.

mod state;

use super::line;
use crate::{
    array::{Array, Configuration},
    error::OrErrno,
    member::{entry::Entry, Member},
};
use kernel::{prelude::*, sync::ArcBorrow};
use kernel_ext::{
    alloc::page::PageBuf,
    block::badblocks::Ack,
    capability::{capable, Capability},
    sysfs::{Access, Attribute, Group, Page, Payload, Show, Store},
};
use md_core::{
    state::member::Member as State,
    units::Sector,
    words::{
        member::{parse_errors, parse_slot, BadBlockLine, SlotWord},
        number::{parse_kib, parse_sector, SectorOrNone},
    },
};

static DEFAULT: Group<Member> = Group::new(
    None,
    &[
        Some(&state::STATE),
        Some(&ERRORS),
        Some(&SLOT),
        Some(&OFFSET),
        Some(&NEW_OFFSET),
        Some(&SIZE),
        Some(&RECOVERY_START),
        Some(&BAD_BLOCKS),
        Some(&UNACKNOWLEDGED_BAD_BLOCKS),
        None,
    ],
);

impl Payload for Member {
    const GROUPS: &'static [Option<&'static Group<Self>>] = &[Some(&DEFAULT), None];

    type Guard<'a> = ();

    fn enter(_this: ArcBorrow<'_, Self>, access: Access) -> Result<()> {
        if access == Access::Store && !capable(Capability::SysAdmin) {
            return Err(EACCES);
        }
        Ok(())
    }
}

type This<'a> = ArcBorrow<'a, Member>;

const fn writable(
    name: &'static CStr,
    show: Show<Member>,
    store: Store<Member>,
) -> Attribute<Member> {
    Attribute::new(name, 0o644, Some(show), Some(store))
}

/// The member's entry in the configuration of its array, to be looked at. `ENODEV` when it has left.
fn seen<R>(this: This<'_>, look: impl FnOnce(&Entry) -> Result<R>) -> Result<R> {
    let config = this.array.look()?;
    let entry = config.members.get(config.position(&this)?);
    look(entry.ok_or(ENODEV)?)
}

/// The configuration of the member's array, with the member's entry in it. `ENODEV` when it has left.
fn configured<R>(this: This<'_>, act: impl FnOnce(&mut Entry, bool) -> Result<R>) -> Result<R> {
    let mut config: Configuration<'_> = this.array.configure()?;
    let running = config.running.is_some();
    act(config.entry(&this)?, running)
}

static ERRORS: Attribute<Member> = writable(c"errors", errors_show, errors_store);

fn errors_show(this: This<'_>, page: &mut Page<'_>) -> Result {
    line(page, this.corrected())
}

fn errors_store(this: This<'_>, text: &[u8]) -> Result {
    let errors = parse_errors(text).or_errno()?;
    configured(this, |entry, _| {
        entry.member.set_corrected(errors);
        Ok(())
    })
}

static SLOT: Attribute<Member> = writable(c"slot", slot_show, slot_store);

fn slot_show(this: This<'_>, page: &mut Page<'_>) -> Result {
    seen(this, |entry| {
        let word = match (entry.state, entry.slot()) {
            (State::Journal { .. }, _) => SlotWord::Journal,
            (_, Some(slot)) => SlotWord::At(slot),
            (_, None) => SlotWord::None,
        };
        line(page, word)
    })
}

/// Before the array runs a program that keeps the metadata says which member has which slot.
fn slot_store(this: This<'_>, text: &[u8]) -> Result {
    let slot = parse_slot(text).or_errno()?;
    let array: &Array = &this.array;
    let mut config = array.configure()?;
    if config.running.is_none() {
        if slot.is_some_and(|slot| slot.get() >= config.raid_disks) {
            return Err(ENOSPC);
        }
        config.entry(&this)?.take_slot(slot);
        return Ok(());
    }
    // What is refused is refused at once: I/O may be waiting for who asks.
    config.may_set_slot(config.position(&this)?, slot)?;
    drop(config);
    let mut config = array.reconfigure()?;
    let index = config.position(&this)?;
    array.set_slot(&mut config, index, slot)
}

static OFFSET: Attribute<Member> = writable(c"offset", offset_show, offset_store);

fn offset_show(this: This<'_>, page: &mut Page<'_>) -> Result {
    seen(this, |entry| line(page, entry.data.offset))
}

fn offset_store(this: This<'_>, text: &[u8]) -> Result {
    let offset = parse_sector(text).map_err(|_| EINVAL)?;
    configured(this, |entry, running| {
        if running && entry.slot().is_some() {
            return Err(EBUSY);
        }
        entry.set_offset(offset)
    })
}

static NEW_OFFSET: Attribute<Member> = writable(c"new_offset", new_offset_show, new_offset_store);

fn new_offset_show(this: This<'_>, page: &mut Page<'_>) -> Result {
    seen(this, |entry| line(page, entry.data.new_offset))
}

/// Where a reshape is to move the data.
fn new_offset_store(this: This<'_>, text: &[u8]) -> Result {
    let offset = parse_sector(text).map_err(|_| EINVAL)?;
    let mut config = this.array.configure()?;
    let index = config.position(&this)?;
    this.array.plan_offset(&mut config, index, offset)
}

static SIZE: Attribute<Member> = writable(c"size", size_show, size_store);

fn size_show(this: This<'_>, page: &mut Page<'_>) -> Result {
    seen(this, |entry| line(page, entry.data.size.to_kib()))
}

/// KiB; zero is all there is for a member of an array that runs.
fn size_store(this: This<'_>, text: &[u8]) -> Result {
    let size = parse_kib(text).map_err(|_| EINVAL)?;
    let mut config = this.array.configure()?;
    if config.running.is_some() {
        let index = config.position(&this)?;
        let wanted = (!size.is_zero()).then_some(size);
        return this.array.set_room(&mut config, index, wanted);
    }
    if size < config.component_size {
        return Err(EINVAL);
    }
    let entry = config.entry(&this)?;
    let end = entry.data.offset.checked_add(size).ok_or(EINVAL)?;
    if end.get() > entry.device().sectors() {
        return Err(EINVAL);
    }
    entry.set_size(size)
}

static RECOVERY_START: Attribute<Member> =
    writable(c"recovery_start", recovery_start_show, recovery_start_store);

fn recovery_start_show(this: This<'_>, page: &mut Page<'_>) -> Result {
    seen(this, |entry| {
        let start = match entry.state {
            State::InSync(_) => Sector::MAX,
            State::Rebuilding { upto, .. } => upto,
            _ => Sector::ZERO,
        };
        line(page, SectorOrNone::from_stored(start))
    })
}

fn recovery_start_store(this: This<'_>, text: &[u8]) -> Result {
    let start = SectorOrNone::parse(text).map_err(|_| EINVAL)?;
    configured(this, |entry, running| {
        let Some(place) = entry.state.place() else {
            return Ok(());
        };
        if running {
            return Err(EBUSY);
        }
        entry.state = match start {
            SectorOrNone::None => State::InSync(place),
            SectorOrNone::At(upto) => State::Rebuilding { place, upto },
        };
        Ok(())
    })
}

static BAD_BLOCKS: Attribute<Member> = writable(c"bad_blocks", bad_blocks_show, bad_blocks_store);

fn bad_blocks_show(this: This<'_>, page: &mut Page<'_>) -> Result {
    show_list(this, page, None)
}

/// Somebody says that sectors are bad, and has recorded it: with metadata of ours that is done here.
fn bad_blocks_store(this: This<'_>, text: &[u8]) -> Result {
    let BadBlockLine(bad) = BadBlockLine::parse(text).or_errno()?;
    let mut config = this.array.configure()?;
    config.entry(&this)?;
    if config.records_bad_blocks() {
        this.note_bad(bad)?;
        config.serve();
        return Ok(());
    }
    this.note_recorded(bad)?;
    config.wake_writers();
    // Writes that failed there end now.
    config.serve();
    Ok(())
}

static UNACKNOWLEDGED_BAD_BLOCKS: Attribute<Member> = writable(
    c"unacknowledged_bad_blocks",
    unacknowledged_show,
    unacknowledged_store,
);

fn unacknowledged_show(this: This<'_>, page: &mut Page<'_>) -> Result {
    show_list(this, page, Some(Ack::Unacknowledged))
}

/// As when I/O finds sectors to be bad; they are recorded with the next superblocks.
fn unacknowledged_store(this: This<'_>, text: &[u8]) -> Result {
    let BadBlockLine(bad) = BadBlockLine::parse(text).or_errno()?;
    configured(this, |_, _| this.note_bad(bad))
}

fn show_list(this: This<'_>, page: &mut Page<'_>, only: Option<Ack>) -> Result {
    let mut buffer = PageBuf::zeroed(GFP_KERNEL)?;
    let used = this.bad_blocks().show(&mut buffer, only);
    page.push(buffer.get(..used).ok_or(EIO)?);
    Ok(())
}
