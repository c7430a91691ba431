// SPDX-License-Identifier: GPL-2.0

//! The disk of an array, as the block layer calls it.

use super::{ioctl, params};
use crate::{
    array::{live, registry::Wanted, Array},
    driver::MD_MAJOR,
};
use kernel::{prelude::*, sync::ArcBorrow};
use kernel_ext::block::{
    bio::Bio,
    disk::{check_media_change, DiskRef, Geometry, MediaChange, OpenDisk, Operations, ReadOnly},
    major::{DeviceNumber, Probe},
};
use md_core::words::ioctl::Ioctl;

/// Nodes of major `md` from this minor up belong to named arrays and create nothing when opened.
const FIRST_UNPROBED_MINOR: u32 = 512;

/// Somebody opened a node that has no disk.
pub(crate) struct OpenedNode;

impl Probe for OpenedNode {
    fn probe(number: DeviceNumber) {
        let named = number.major() == MD_MAJOR && number.minor() >= FIRST_UNPROBED_MINOR;
        if named || !params::CREATE_ON_OPEN.get() {
            return;
        }
        // The open that brought us here fails when there is no disk afterwards.
        if let Err(error) = params::create(Wanted::Node(number)) {
            pr_debug!("no array for {number:?}: {error:?}\n");
        }
    }
}

impl Operations for Array {
    const GEOMETRY: Geometry = Geometry {
        heads: 2,
        sectors: 4,
    };

    fn submit_bio(this: ArcBorrow<'_, Self>, bio: Bio) {
        live::submit(this, bio);
    }

    fn open(this: ArcBorrow<'_, Self>, disk: &DiskRef) -> Result {
        this.life().open()?;
        this.place().await_creation();
        check_media_change(disk);
        Ok(())
    }

    fn release(this: ArcBorrow<'_, Self>) {
        this.life().close();
        Self::end_use(this);
    }

    fn ioctl(
        this: ArcBorrow<'_, Self>,
        disk: OpenDisk<'_>,
        command: u32,
        argument: usize,
    ) -> Result {
        ioctl::ioctl(this, disk, command, argument)
    }

    fn compat_argument(command: u32, argument: usize) -> usize {
        match Ioctl::from_number(command) {
            Some(ioctl) if ioctl.argument_is_number() => argument,
            // A user address of a 32-bit process has 32 bits.
            _ => argument & 0xffff_ffff,
        }
    }

    fn check_events(this: ArcBorrow<'_, Self>) -> MediaChange {
        if this.take_media_change() {
            MediaChange::Changed
        } else {
            MediaChange::Same
        }
    }

    fn set_read_only(this: ArcBorrow<'_, Self>, _to: ReadOnly) -> Result {
        let config = this.look()?;
        if config.has_shape() {
            Ok(())
        } else {
            Err(ENODEV)
        }
    }
}
