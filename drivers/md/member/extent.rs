// SPDX-License-Identifier: GPL-2.0

//! The parts of disks that belong to members whose metadata a program keeps.
//!
//! The arrays of a container share its disks, so no array has a disk for itself. Each member claims the part where its
//! data is, whatever array it belongs to: two members never have the same sectors.

use kernel::{
    prelude::*,
    sync::{new_mutex, Arc, Mutex},
};
use kernel_ext::block::major::DeviceNumber;
use md_core::units::SectorRange;

/// What is claimed of all disks.
#[pin_data]
pub(crate) struct Extents {
    #[pin]
    claimed: Mutex<KVec<Arc<Part>>>,
}

struct Part {
    disk: DeviceNumber,
    sectors: SectorRange,
}

/// A part of a disk that a member has for itself. Dropping it gives it up.
pub(crate) struct Extent {
    part: Arc<Part>,
    extents: Arc<Extents>,
}

impl Extents {
    /// Nothing is claimed yet.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self { claimed <- new_mutex!(KVec::new()) }),
            GFP_KERNEL,
        )
    }

    /// Claims `sectors` of a disk, for who has the part `instead` of which it is. May sleep.
    ///
    /// `EBUSY` when somebody else has some of them.
    pub(crate) fn claim(
        this: &Arc<Self>,
        disk: DeviceNumber,
        sectors: SectorRange,
        instead: Option<&Extent>,
    ) -> Result<Extent> {
        let part = Arc::new(Part { disk, sectors }, GFP_KERNEL)?;
        let mut claimed = this.claimed.lock();
        let is_taken = |other: &Arc<Part>| {
            other.disk == disk
                && other.sectors.overlaps(sectors)
                && instead.is_none_or(|own| !Arc::ptr_eq(&own.part, other))
        };
        if claimed.iter().any(is_taken) {
            return Err(EBUSY);
        }
        claimed.push(part.clone(), GFP_KERNEL)?;
        Ok(Extent {
            part,
            extents: this.clone(),
        })
    }
}

impl Drop for Extent {
    fn drop(&mut self) {
        self.extents
            .claimed
            .lock()
            .retain(|part| !Arc::ptr_eq(part, &self.part));
    }
}
