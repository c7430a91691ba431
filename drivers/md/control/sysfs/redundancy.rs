// SPDX-License-Identifier: GPL-2.0

//! Files of arrays that can lose a member: `sync_action` and what belongs to it.

use super::{line, writable};
use crate::{
    array::Array,
    control::sysctl::{SPEED_LIMIT_MAX, SPEED_LIMIT_MIN, SYNC_IO_DEPTH},
    error::OrErrno,
    sync::Syncing,
};
use kernel::{
    prelude::*,
    sync::{Arc, ArcBorrow},
};
use kernel_ext::{
    params::Int,
    sysfs::{Attribute, Group, Page},
};
use md_core::{
    state::{
        admit::Held,
        sync::{Event, Reshape, Sync},
    },
    units::{BitmapChunk, Sector},
    words::{
        number::{parse_u64, Radix},
        sync::{parse_force_parallel, parse_sync_min, ChunkRanges, Limit, SyncAction, SyncMax},
    },
};

/// What an array has from its first run with a level that has passes.
pub(crate) static REDUNDANCY: Group<Array> = Group::new(
    None,
    &[
        Some(&SYNC_ACTION),
        Some(&LAST_SYNC_ACTION),
        Some(&MISMATCH_CNT),
        Some(&SYNC_SPEED_MIN),
        Some(&SYNC_SPEED_MAX),
        Some(&SYNC_IO_DEPTH_FILE),
        Some(&SYNC_SPEED),
        Some(&SYNC_FORCE_PARALLEL),
        Some(&SYNC_COMPLETED),
        Some(&SYNC_MIN),
        Some(&SYNC_MAX),
        Some(&SUSPEND_LO),
        Some(&SUSPEND_HI),
        Some(&BITMAP_SET_BITS),
        Some(&DEGRADED),
        None,
    ],
);

type This<'a> = ArcBorrow<'a, Array>;

const fn readable(name: &'static CStr, show: kernel_ext::sysfs::Show<Array>) -> Attribute<Array> {
    Attribute::new(name, 0o444, Some(show), None)
}

/// The sync side of a running array. `EINVAL` for one that has none.
fn syncing(this: &Array) -> Result<Arc<Syncing>> {
    let config = this.look()?;
    let sync = config
        .running
        .as_ref()
        .and_then(|running| running.sync.as_ref());
    Ok(sync.ok_or(EINVAL)?.state.clone())
}

static SYNC_ACTION: Attribute<Array> =
    writable(c"sync_action", sync_action_show, sync_action_store);

fn sync_action_show(this: This<'_>, page: &mut Page<'_>) -> Result {
    match syncing(&this) {
        Ok(syncing) => line(page, syncing.shown()),
        Err(_) => line(page, SyncAction::Idle),
    }
}

/// `EBUSY` while something runs, but for `idle` and `frozen`, which wait until it has stopped.
fn sync_action_store(this: This<'_>, text: &[u8]) -> Result {
    let word = SyncAction::parse(text).or_errno()?;
    if word == SyncAction::Reshape {
        start_reshape(&this)?;
    }
    let syncing = syncing(&this)?;
    {
        let mut config = this.configure()?;
        config.thaw();
        config.reshape_tries = 0;
        syncing.set_env(config.sync_env());
    }
    syncing.step(Event::Write(word)).or_errno()?;
    if matches!(word, SyncAction::Idle | SyncAction::Frozen) {
        syncing.await_stopped();
    }
    this.configure()?.wake_syncer();
    Ok(())
}

/// Begins a reshape where none is under way. `EINVAL` for an array that cannot be reshaped.
fn start_reshape(this: &Array) -> Result {
    let mut config = this.reconfigure()?;
    config.thaw();
    match config.reshape_env() {
        Reshape::Possible => this.start_reshape(&mut config),
        Reshape::Ready | Reshape::Stuck => Ok(()),
        Reshape::Unsupported => Err(EINVAL),
    }
}

static LAST_SYNC_ACTION: Attribute<Array> = readable(c"last_sync_action", |this, page| {
    line(page, syncing(&this)?.last_action())
});

static MISMATCH_CNT: Attribute<Array> = readable(c"mismatch_cnt", |this, page| {
    line(page, syncing(&this)?.mismatches())
});

fn limit_line(page: &mut Page<'_>, limit: Limit, system: &Int) -> Result {
    line(page, limit.shown(u32::try_from(system.get()).unwrap_or(0)))
}

static SYNC_SPEED_MIN: Attribute<Array> = writable(
    c"sync_speed_min",
    |this, page| limit_line(page, syncing(&this)?.settings().speed_min, &SPEED_LIMIT_MIN),
    |this, text| {
        let limit = Limit::parse(text).or_errno()?;
        syncing(&this)?.set(|settings| settings.speed_min = limit);
        Ok(())
    },
);

static SYNC_SPEED_MAX: Attribute<Array> = writable(
    c"sync_speed_max",
    |this, page| limit_line(page, syncing(&this)?.settings().speed_max, &SPEED_LIMIT_MAX),
    |this, text| {
        let limit = Limit::parse(text).or_errno()?;
        syncing(&this)?.set(|settings| settings.speed_max = limit);
        Ok(())
    },
);

static SYNC_IO_DEPTH_FILE: Attribute<Array> = writable(
    c"sync_io_depth",
    |this, page| limit_line(page, syncing(&this)?.settings().io_depth, &SYNC_IO_DEPTH),
    |this, text| {
        let limit = Limit::parse(text).or_errno()?;
        syncing(&this)?.set(|settings| settings.io_depth = limit);
        Ok(())
    },
);

static SYNC_SPEED: Attribute<Array> = readable(c"sync_speed", |this, page| {
    line(page, syncing(&this)?.shown_speed())
});

static SYNC_FORCE_PARALLEL: Attribute<Array> = writable(
    c"sync_force_parallel",
    |this, page| line(page, u8::from(syncing(&this)?.settings().force_parallel)),
    |this, text| {
        let parallel = parse_force_parallel(text).or_errno()?;
        syncing(&this)?.set(|settings| settings.force_parallel = parallel);
        Ok(())
    },
);

static SYNC_COMPLETED: Attribute<Array> = readable(c"sync_completed", |this, page| {
    line(page, syncing(&this)?.shown_completed())
});

static SYNC_MIN: Attribute<Array> = writable(
    c"sync_min",
    |this, page| line(page, syncing(&this)?.settings().min),
    sync_min_store,
);

/// `EBUSY` while a pass runs, `EINVAL` beyond where it is to pause.
fn sync_min_store(this: This<'_>, text: &[u8]) -> Result {
    let min = parse_sync_min(text).or_errno()?;
    let syncing = syncing(&this)?;
    if matches!(syncing.machine(), Sync::Active(_)) {
        return Err(EBUSY);
    }
    if matches!(syncing.settings().max, SyncMax::At(max) if min > max) {
        return Err(EINVAL);
    }
    syncing.set(|settings| settings.min = min);
    Ok(())
}

static SYNC_MAX: Attribute<Array> = writable(
    c"sync_max",
    |this, page| line(page, syncing(&this)?.settings().max),
    sync_max_store,
);

/// `EBUSY` for less than before while a pass runs, `EINVAL` for less than where a check begins or within a chunk.
fn sync_max_store(this: This<'_>, text: &[u8]) -> Result {
    let max = SyncMax::parse(text).or_errno()?;
    let chunk = u64::from(this.look()?.chunk.now);
    if matches!(max, SyncMax::At(at) if at.get().checked_rem(chunk).is_some_and(|rest| rest != 0)) {
        return Err(EINVAL);
    }
    let syncing = syncing(&this)?;
    let settings = syncing.settings();
    if let SyncMax::At(at) = max {
        if at < settings.min {
            return Err(EINVAL);
        }
        let lowers = match settings.max {
            SyncMax::Max => true,
            SyncMax::At(before) => at < before,
        };
        if lowers && matches!(syncing.machine(), Sync::Active(_)) {
            return Err(EBUSY);
        }
    }
    syncing.set(|settings| settings.max = max);
    Ok(())
}

static SUSPEND_LO: Attribute<Array> = writable(
    c"suspend_lo",
    |this, page| line(page, held(&this)?.lo),
    |this, text| hold(&this, text, |held, sector| Held { lo: sector, ..held }),
);

static SUSPEND_HI: Attribute<Array> = writable(
    c"suspend_hi",
    |this, page| line(page, held(&this)?.hi),
    |this, text| hold(&this, text, |held, sector| Held { hi: sector, ..held }),
);

fn held(this: &Array) -> Result<Held> {
    let config = this.look()?;
    let running = config.running.as_ref();
    Ok(running.map_or(Held::NONE, |running| running.tracking.held()))
}

/// Writes to other sectors wait, and those under way have ended, when this returns.
fn hold(this: &Array, text: &[u8], change: fn(Held, Sector) -> Held) -> Result {
    let sector = parse_u64(text, Radix::Decimal).or_errno()?;
    let config = this.reconfigure()?;
    let tracking = &config.running.as_ref().ok_or(EINVAL)?.tracking;
    tracking.set_held(change(tracking.held(), Sector::new(sector)));
    Ok(())
}

static BITMAP_SET_BITS: Attribute<Array> =
    Attribute::new(c"bitmap_set_bits", 0o200, None, Some(bitmap_set_bits_store));

/// Nothing is marked when a part of what is written makes no sense, or names chunks that there are not.
fn bitmap_set_bits_store(this: This<'_>, text: &[u8]) -> Result {
    // No other bitmap takes the place of this one meanwhile. With I/O held back, as marking waits for pages that are
    // suspended, which waits for writes, and those for the configuration.
    let _config = this.reconfigure()?;
    let bitmap = this.bitmap().get().ok_or(EINVAL)?;
    let chunks = BitmapChunk::new(bitmap.chunks());
    for range in ChunkRanges::parse(text, chunks).or_errno()? {
        bitmap.mark_dirty(range.first.get(), range.last.get())?;
    }
    Ok(())
}

static DEGRADED: Attribute<Array> = readable(c"degraded", |this, page| {
    line(page, this.look()?.degraded())
});
