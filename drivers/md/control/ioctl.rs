// SPDX-License-Identifier: GPL-2.0

//! The ioctls of an array's disk.

use super::params;
use crate::array::{life::Closing, Array, Configuration, Removal};
use kernel::{
    prelude::*,
    sync::ArcBorrow,
    uaccess::{UserPtr, UserSlice},
};
use kernel_ext::{
    block::{disk::OpenDisk, major::DeviceNumber},
    capability::{capable, Capability},
};
use md_core::{
    state::array::StartAs,
    words::{
        array::ArrayStateRequest,
        ioctl::{ArrayInfo, DiskInfo, Ioctl, Privilege, Unconfigured, Version, WhenReadOnly},
    },
};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes};

/// Room for the path of a bitmap file in `GET_BITMAP_FILE`.
const BITMAP_PATH_LEN: usize = 4096;

/// Carries out an ioctl.
///
/// `ENOTTY` for a number that is none of md's, `EACCES` without the right, `ENODEV` when it asks for the shape of an
/// array that has none.
pub(super) fn ioctl(
    this: ArcBorrow<'_, Array>,
    disk: OpenDisk<'_>,
    command: u32,
    argument: usize,
) -> Result {
    let ioctl = Ioctl::from_number(command).ok_or(ENOTTY)?;
    if ioctl.privilege() == Privilege::Admin && !capable(Capability::SysAdmin) {
        return Err(EACCES);
    }
    match ioctl {
        Ioctl::RaidVersion => write_to(argument, &Version::CURRENT),
        Ioctl::GetArrayInfo => get_array_info(this, argument),
        Ioctl::GetDiskInfo => get_disk_info(this, argument),
        Ioctl::SetDiskFaulty => set_disk_faulty(this, argument),
        Ioctl::GetBitmapFile => get_bitmap_file(argument),
        Ioctl::StopArray => stop(this, disk),
        Ioctl::StopArrayRo => {
            let _closing = begin_stop(&this)?;
            disk.sync()?;
            with_configuration(this, ioctl, argument)
        }
        _ => with_configuration(this, ioctl, argument),
    }
}

/// Keeps the disk from being opened while it is stopped. `EBUSY` when a running array is open elsewhere.
fn begin_stop(this: &Array) -> Result<Closing<'_>> {
    let running = this.look()?.running.is_some();
    // The caller is one.
    this.life()
        .begin_closing(if running { 1 } else { u32::MAX })
}

fn with_configuration(this: ArcBorrow<'_, Array>, ioctl: Ioctl, argument: usize) -> Result {
    if ioctl == Ioctl::SetArrayInfo {
        this.await_no_request()?;
    }
    let mut config = this.reconfigure()?;
    let result = configuring(this, &mut config, ioctl, argument);
    drop(config);
    end_hold(this, result)
}

/// An array that was only a number is not held any more once an ioctl made sense to it.
fn end_hold(this: ArcBorrow<'_, Array>, result: Result) -> Result {
    if result != Err(EINVAL) {
        this.life().end_hold_by_number();
    }
    result
}

/// The ioctls that work on the locked configuration.
#[inline(never)]
fn configuring(
    this: ArcBorrow<'_, Array>,
    config: &mut Configuration<'_>,
    ioctl: Ioctl,
    argument: usize,
) -> Result {
    if ioctl == Ioctl::SetArrayInfo {
        return set_array_info(this, config, argument);
    }
    if ioctl.unconfigured() == Unconfigured::NoDevice && !config.has_shape() {
        return Err(ENODEV);
    }
    admit_on_read_only(config, ioctl, argument)?;
    match ioctl {
        Ioctl::StopArrayRo => set_access(this, config, ArrayStateRequest::Readonly),
        Ioctl::RestartArrayRw => set_access(this, config, ArrayStateRequest::Active),
        Ioctl::HotRemoveDisk => hot_remove(&this, config, argument),
        Ioctl::AddNewDisk => add_new_disk(this, config, argument),
        Ioctl::RunArray => this.run(config, StartAs::Writable),
        Ioctl::HotAddDisk if config.running.is_none() => Err(ENODEV),
        _ => Err(EINVAL),
    }
}

/// What changes an array needs one that is writable: `EROFS`, unless it is read-only until the first write and so
/// becomes writable now.
fn admit_on_read_only(config: &mut Configuration<'_>, ioctl: Ioctl, argument: usize) -> Result {
    use md_core::state::array::{Access, Array as State};
    let State::Running { access, .. } = config.state() else {
        return Ok(());
    };
    let allowed = match ioctl.when_read_only() {
        WhenReadOnly::Allowed => true,
        WhenReadOnly::OnlyReAdd => {
            read_from::<DiskInfo>(argument)?.state & DiskInfo::STATE_SYNC != 0
        }
        WhenReadOnly::NeedsWritable => false,
    };
    match access {
        _ if allowed => Ok(()),
        Access::Writable(_) => Ok(()),
        Access::ReadOnly => Err(EROFS),
        Access::ReadAuto => {
            config.thaw();
            Ok(())
        }
    }
}

/// Makes a running array read-only or writable; nothing to do for one that does not run.
#[inline(never)]
fn set_access(
    this: ArcBorrow<'_, Array>,
    config: &mut Configuration<'_>,
    request: ArrayStateRequest,
) -> Result {
    use md_core::state::array::{Access, Array as State};
    let State::Running { access, failure } = config.state() else {
        return match request {
            ArrayStateRequest::Readonly => Ok(()),
            _ if config.members.is_empty() => Err(ENXIO),
            _ => Err(EINVAL),
        };
    };
    let read_only = config
        .members
        .iter()
        .any(|entry| entry.device().is_read_only());
    let wanted = match (request, access) {
        (ArrayStateRequest::Readonly, Access::ReadOnly) => return Err(ENXIO),
        (ArrayStateRequest::Readonly, _) => Access::ReadOnly,
        (_, Access::Writable(_)) => return Err(EBUSY),
        _ if read_only => return Err(EROFS),
        _ => StartAs::Writable.access(),
    };
    this.set_access(config, State::running(wanted, failure));
    Ok(())
}

/// `HOT_REMOVE_DISK`.
fn hot_remove(this: &Array, config: &mut Configuration<'_>, argument: usize) -> Result {
    if config.running.is_none() {
        return Err(ENODEV);
    }
    let number = DeviceNumber::from_user(u32::try_from(argument).map_err(|_| ENXIO)?);
    let index = config.index_of(number).ok_or(ENXIO)?;
    this.hot_remove(config, index)
}

/// `ADD_NEW_DISK`.
#[inline(never)]
fn add_new_disk(
    this: ArcBorrow<'_, Array>,
    config: &mut Configuration<'_>,
    argument: usize,
) -> Result {
    let info: DiskInfo = read_from(argument)?;
    let (Ok(major), Ok(minor)) = (u32::try_from(info.major), u32::try_from(info.minor)) else {
        return Err(EOVERFLOW);
    };
    let number = DeviceNumber::new(major, minor).ok_or(EOVERFLOW)?;
    if config.running.is_some() {
        return Array::hot_add(this, config, number, &info);
    }
    if config.raid_disks != 0 {
        return Array::place_by_info(this, config, number, &info);
    }
    Array::import(this, config, number)
}

/// `STOP_ARRAY`. On success nobody can open the disk any more, unless the old way of removal is asked for.
fn stop(this: ArcBorrow<'_, Array>, disk: OpenDisk<'_>) -> Result {
    let closing = begin_stop(&this)?;
    disk.sync()?;
    end_hold(this, this.stop(removal()))?;
    closing.stay_closed();
    Ok(())
}

/// When a stopped array leaves the system.
pub(super) fn removal() -> Removal {
    if params::LEGACY_ASYNC_DEL_GENDISK.get() {
        Removal::Later
    } else {
        Removal::Now
    }
}

/// `SET_DISK_FAULTY`. `EBUSY` when the array cannot do without the member, so that it stays.
fn set_disk_faulty(this: ArcBorrow<'_, Array>, argument: usize) -> Result {
    let number = DeviceNumber::from_user(u32::try_from(argument).map_err(|_| ENODEV)?);
    let mut config = this.configure()?;
    let index = config.index_of(number).ok_or(ENODEV)?;
    config.declare_faulty(index)
}

fn get_array_info(this: ArcBorrow<'_, Array>, argument: usize) -> Result {
    write_to(argument, &this.status()?.array_info()?)
}

fn get_disk_info(this: ArcBorrow<'_, Array>, argument: usize) -> Result {
    let status = this.status()?;
    // Whether there is anything to be asked comes before what is asked.
    status.array_info()?;
    let asked: DiskInfo = read_from(argument)?;
    write_to(argument, &status.disk_info(asked.number)?)
}

/// There is no bitmap file: the empty path.
fn get_bitmap_file(argument: usize) -> Result {
    let path = KVec::from_elem(0u8, BITMAP_PATH_LEN, GFP_KERNEL)?;
    UserSlice::new(UserPtr::from_addr(argument), path.len())
        .writer()
        .write_slice(&path)
}

#[inline(never)]
fn set_array_info(
    this: ArcBorrow<'_, Array>,
    config: &mut Configuration<'_>,
    argument: usize,
) -> Result {
    let info = if argument == 0 {
        ArrayInfo::new_zeroed()
    } else {
        read_from(argument)?
    };
    if config.running.is_some() {
        return this.update_info(config, &info);
    }
    if config.raid_disks != 0 || !config.members.is_empty() {
        this.place()
            .with_name(|name| pr_warn!("{name}: the array has its settings already\n"));
        return Err(EBUSY);
    }
    config.set_array_info(&info, kernel_ext::time::real_seconds())
}

/// Copies a structure from user space. `EFAULT` when it cannot be read.
fn read_from<T: FromBytes + IntoBytes>(address: usize) -> Result<T> {
    let mut value = T::new_zeroed();
    UserSlice::new(UserPtr::from_addr(address), size_of::<T>())
        .reader()
        .read_slice(value.as_mut_bytes())?;
    Ok(value)
}

/// Copies a structure to user space. `EFAULT` when it cannot be written.
fn write_to<T: IntoBytes + Immutable>(address: usize, value: &T) -> Result {
    UserSlice::new(UserPtr::from_addr(address), size_of::<T>())
        .writer()
        .write_slice(value.as_bytes())
}
