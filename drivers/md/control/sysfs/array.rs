// SPDX-License-Identifier: GPL-2.0

//! Files about what an array is, and its policies.

use super::{line, writable};
use crate::{
    array::{config::LevelSetting, Array, Configuration, SyncSide},
    error::OrErrno,
};
use kernel::{prelude::*, sync::ArcBorrow};
use kernel_ext::{
    block::{disk::DiskRef, limits::LimitsUpdate, major},
    sysfs::{Attribute, Page},
};
use md_core::{
    format::level::Level,
    mirror::serial::Policy,
    state::sync::Sync,
    words::{
        array::{
            parse_max_read_errors, parse_new_level, ConsistencyPolicy, MetadataVersion,
            SafeModeDelay, SerializePolicy, UuidText,
        },
        bitmap::BitmapKind,
        device::DeviceNumber,
        level::{level_name, LevelText},
        number::{parse_bool, parse_u32, Radix, SectorOrNone},
    },
};

type This<'a> = ArcBorrow<'a, Array>;

pub(super) static LEVEL: Attribute<Array> = writable(c"level", level_show, level_store);

/// Nothing while there is no level.
fn level_show(this: This<'_>, page: &mut Page<'_>) -> Result {
    let config = this.look()?;
    if let (true, Some(name)) = (
        config.running.is_some(),
        config.level().and_then(level_name),
    ) {
        return line(page, name);
    }
    match config.level {
        LevelSetting::Unset => Ok(()),
        LevelSetting::Text(text) => line(page, text),
        LevelSetting::Level(level) => line(page, level.number()),
    }
}

/// A running array gets another level at once.
fn level_store(this: This<'_>, text: &[u8]) -> Result {
    let text = LevelText::parse(text).or_errno()?;
    let mut config = this.reconfigure()?;
    if config.running.is_some() {
        return this.take_over(&mut config, text.level());
    }
    config.level = LevelSetting::Text(text);
    Ok(())
}

pub(super) static NEW_LEVEL: Attribute<Array> = Attribute::new(
    c"new_level",
    0o664,
    Some(new_level_show),
    Some(new_level_store),
);

fn new_level_show(this: This<'_>, page: &mut Page<'_>) -> Result {
    line(page, this.look()?.new_level)
}

fn new_level_store(this: This<'_>, text: &[u8]) -> Result {
    let level = parse_new_level(text).or_errno()?;
    this.configure()?.new_level = level;
    Ok(())
}

pub(super) static BITMAP_TYPE: Attribute<Array> = Attribute::new(
    c"bitmap_type",
    0o664,
    Some(bitmap_type_show),
    Some(bitmap_type_store),
);

fn bitmap_type_show(this: This<'_>, page: &mut Page<'_>) -> Result {
    let config = this.look()?;
    let kind = match &config.running {
        Some(running) => (running.bitmap.as_ref()).map_or(BitmapKind::None, |bitmap| bitmap.kind()),
        None => config.bitmap,
    };
    line(page, kind.choice())
}

fn bitmap_type_store(this: This<'_>, text: &[u8]) -> Result {
    let kind = BitmapKind::parse_name_or_number(text).or_errno()?;
    let mut config = this.configure()?;
    config.refuse_running()?;
    config.bitmap = kind;
    Ok(())
}

pub(super) static UUID: Attribute<Array> = Attribute::new(c"uuid", 0o444, Some(uuid_show), None);

fn uuid_show(this: This<'_>, page: &mut Page<'_>) -> Result {
    line(page, UuidText(this.look()?.uuid))
}

pub(super) static RESYNC_START: Attribute<Array> =
    writable(c"resync_start", resync_start_show, resync_start_store);

fn resync_start_show(this: This<'_>, page: &mut Page<'_>) -> Result {
    line(page, SectorOrNone::from_stored(this.look()?.resync_start))
}

/// `EBUSY` while the array runs, unless its passes are frozen.
fn resync_start_store(this: This<'_>, text: &[u8]) -> Result {
    let start = SectorOrNone::parse(text).or_errno()?;
    let mut config = this.configure()?;
    let Some(running) = &config.running else {
        config.resync_start = start.to_stored();
        return Ok(());
    };
    let is_frozen = |sync: &SyncSide| matches!(sync.state.machine(), Sync::Frozen { .. });
    if !running.sync.as_ref().is_some_and(is_frozen) {
        return Err(EBUSY);
    }
    config.set_resync_start(start.to_stored());
    config.record_devices();
    Ok(())
}

pub(super) static METADATA_VERSION: Attribute<Array> =
    writable(c"metadata_version", metadata_show, metadata_store);

fn metadata_show(this: This<'_>, page: &mut Page<'_>) -> Result {
    line(page, this.look()?.metadata)
}

fn metadata_store(this: This<'_>, text: &[u8]) -> Result {
    let metadata = MetadataVersion::parse(text).or_errno()?;
    let mut config = this.configure()?;
    let still_external = config.is_external() && matches!(metadata, MetadataVersion::External(_));
    if !config.members.is_empty() && !still_external {
        return Err(EBUSY);
    }
    config.metadata = metadata;
    Ok(())
}

pub(super) static NEW_DEV: Attribute<Array> =
    Attribute::new(c"new_dev", 0o200, None, Some(new_dev_store));

/// A device to be a member, as `major:minor`.
fn new_dev_store(this: This<'_>, text: &[u8]) -> Result {
    let parsed = DeviceNumber::parse(text).or_errno()?;
    let number = major::DeviceNumber::new(parsed.major().0, parsed.minor().0).ok_or(EOVERFLOW)?;
    let mut config = this.configure()?;
    if config.running.is_some() {
        return Array::bind_to_running(this, &mut config, number);
    }
    Array::import(this, &mut config, number)
}

pub(super) static SAFE_MODE_DELAY: Attribute<Array> = writable(
    c"safe_mode_delay",
    safe_mode_delay_show,
    safe_mode_delay_store,
);

/// Zero until the array runs, or it was set.
fn safe_mode_delay_show(this: This<'_>, page: &mut Page<'_>) -> Result {
    let delay = this.look()?.safe_mode_delay;
    line(page, delay.unwrap_or(SafeModeDelay::OFF))
}

fn safe_mode_delay_store(this: This<'_>, text: &[u8]) -> Result {
    let delay = SafeModeDelay::parse(text).or_errno()?;
    let mut config = this.configure()?;
    config.safe_mode_delay = Some(delay);
    // A delay that is under way may be a longer one.
    config.wake_service();
    Ok(())
}

pub(super) static MAX_READ_ERRORS: Attribute<Array> = writable(
    c"max_read_errors",
    max_read_errors_show,
    max_read_errors_store,
);

fn max_read_errors_show(this: This<'_>, page: &mut Page<'_>) -> Result {
    line(page, this.look()?.max_read_errors)
}

fn max_read_errors_store(this: This<'_>, text: &[u8]) -> Result {
    let limit = parse_max_read_errors(text).or_errno()?;
    this.configure()?.set_max_read_errors(limit);
    Ok(())
}

pub(super) static CONSISTENCY_POLICY: Attribute<Array> = writable(
    c"consistency_policy",
    consistency_policy_show,
    consistency_policy_store,
);

fn consistency_policy_show(this: This<'_>, page: &mut Page<'_>) -> Result {
    let config = this.look()?;
    let policy = if let Some(running) = &config.running {
        match (&running.bitmap, &running.sync) {
            (Some(_), _) => ConsistencyPolicy::Bitmap,
            (None, Some(_)) => ConsistencyPolicy::Resync,
            (None, None) => ConsistencyPolicy::None,
        }
    } else if config.ppl {
        ConsistencyPolicy::Ppl
    } else {
        ConsistencyPolicy::Unknown
    };
    line(page, policy)
}

/// Before an array runs only a metadata program can ask for a partial parity log.
fn consistency_policy_store(this: This<'_>, text: &[u8]) -> Result {
    let policy = ConsistencyPolicy::parse(text).or_errno()?;
    let mut config = this.configure()?;
    config.refuse_running()?;
    if !config.is_external() || policy != ConsistencyPolicy::Ppl {
        return Err(EINVAL);
    }
    config.ppl = true;
    Ok(())
}

pub(super) static FAIL_LAST_DEV: Attribute<Array> =
    writable(c"fail_last_dev", fail_last_dev_show, fail_last_dev_store);

fn fail_last_dev_show(this: This<'_>, page: &mut Page<'_>) -> Result {
    line(page, u8::from(this.look()?.fail_last_dev))
}

fn fail_last_dev_store(this: This<'_>, text: &[u8]) -> Result {
    let value = parse_bool(text).or_errno()?;
    this.configure()?.fail_last_dev = value;
    Ok(())
}

pub(super) static SERIALIZE_POLICY: Attribute<Array> = writable(
    c"serialize_policy",
    serialize_policy_show,
    serialize_policy_store,
);

/// Only a running raid1 has such a policy.
fn serialize_policy_show(this: This<'_>, page: &mut Page<'_>) -> Result {
    let config = this.look()?;
    let is_mirror = config.running.is_some() && config.level() == Some(Level::Raid1);
    line(
        page,
        match (is_mirror, config.serialize) {
            (false, _) => SerializePolicy::NotApplicable,
            (true, Policy::All) => SerializePolicy::On,
            (true, Policy::Behind) => SerializePolicy::Off,
        },
    )
}

/// Setting what is set is no error.
fn serialize_policy_store(this: This<'_>, text: &[u8]) -> Result {
    let policy = if parse_bool(text).or_errno()? {
        Policy::All
    } else {
        Policy::Behind
    };
    if this.configure()?.serialize == policy {
        return Ok(());
    }
    let mut config = this.reconfigure()?;
    this.set_serialize(&mut config, policy).inspect_err(|_| {
        this.place()
            .with_name(|name| pr_warn!("{name}: serialize_policy is for raid1 only\n"));
    })
}

pub(super) static LOGICAL_BLOCK_SIZE: Attribute<Array> = writable(
    c"logical_block_size",
    logical_block_size_show,
    logical_block_size_store,
);

fn logical_block_size_show(this: This<'_>, page: &mut Page<'_>) -> Result {
    line(page, this.look()?.logical_block_size)
}

/// Bytes, a power of two that is larger than what the disk has. `EINVAL` when the metadata cannot say it.
fn logical_block_size_store(this: This<'_>, text: &[u8]) -> Result {
    let size = parse_u32(text, Radix::Decimal).map_err(|_| EINVAL)?;
    let mut config = this.configure()?;
    if !config.metadata_has_block_size() {
        return Err(EINVAL);
    }
    if config.running.is_some() {
        return record_block_size(this, &mut config, size);
    }
    let set = this
        .place()
        .with_disk(|disk| raise_logical_block_size(disk, size));
    if let Some(Err(error)) = set {
        this.place()
            .with_name(|name| pr_warn!("{name}: logical block size {size} refused\n"));
        return Err(error);
    }
    config.logical_block_size = size;
    Ok(())
}

/// A running array can only be told to record the block size that it has.
fn record_block_size(this: This<'_>, config: &mut Configuration<'_>, size: u32) -> Result {
    if config.logical_block_size != 0 {
        return Err(EBUSY);
    }
    if this.place().with_disk(DiskRef::logical_block_size) != Some(size) {
        return Err(EINVAL);
    }
    config.logical_block_size = size;
    Ok(())
}

/// Sets the logical block size of a disk that does no I/O yet, in bytes.
fn raise_logical_block_size(disk: &DiskRef, bytes: u32) -> Result {
    if bytes <= disk.logical_block_size() {
        return Err(EINVAL);
    }
    let mut limits = LimitsUpdate::start(disk);
    limits.set_logical_block_size(bytes);
    limits.commit()
}
