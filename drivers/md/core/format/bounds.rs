// SPDX-License-Identifier: GPL-2.0

//! How far the positions in a superblock may reach: no further than what they are about.
//!
//! C md takes them as they are. Where it then reads one that reaches too far as the nearest that does not, so does
//! [`settle`], and notes what was stored in [`Strays`]. A reshape that would begin behind the end of the array would
//! move data from and to where there is none, so that is refused.

use super::journal::BLOCK_SECTORS;
use super::level::Level;
use super::sb1::{ArrayState, MemberState, Progress, Reshape, ResyncPoint, Strays};
use crate::units::{Sector, Sectors};

/// The reshape is at this sector, which the array does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ReshapeBeyondEnd(pub(super) Sector);

/// Bounds every position of what a superblock says.
pub(super) fn settle(
    array: &mut ArrayState,
    member: &mut MemberState,
) -> Result<Strays, ReshapeBeyondEnd> {
    // Levels without a size use all of each member.
    let used = if array.member_size.is_zero() {
        member.data.size
    } else {
        array.member_size
    };
    if let Some(reshape) = array.reshape {
        let slots = u64::from(array.raid_disks).saturating_add(slots_leaving(reshape));
        if reshape.position.get() > all_of(used, slots).get() {
            return Err(ReshapeBeyondEnd(reshape.position));
        }
    }
    let mut strays = Strays::default();
    if let ResyncPoint::From(stored) = array.resync {
        let end = resync_end(array, used);
        if stored > end {
            strays.resync = Some(stored);
            array.resync = ResyncPoint::From(end);
        }
    }
    match &mut member.progress {
        Progress::Settled => {}
        Progress::Recovering { upto } | Progress::RecoveringByBitmap { upto } => {
            // All ones is how C md says that all of it is rebuilt.
            strays.recovered = (*upto > used && *upto != Sectors::MAX).then_some(*upto);
            *upto = (*upto).min(used);
        }
        Progress::Journal { tail } => {
            if !is_block_of_ring(*tail, member.data.size) {
                strays.tail = Some(*tail);
                *tail = Sectors::ZERO;
            }
        }
    }
    Ok(strays)
}

/// Slots that the array had before the reshape and is to lose.
fn slots_leaving(reshape: Reshape) -> u64 {
    u64::from(reshape.delta_disks.min(0).unsigned_abs())
}

/// Where a resync ends at the latest. Those of raid10 count sectors of the array, of which there are no more than its
/// members have together; those of the other levels count sectors of a member.
fn resync_end(array: &ArrayState, used: Sectors) -> Sector {
    let by_member = array.level.is_redundant() && array.level != Level::Raid10;
    let slots = if by_member { 1 } else { array.raid_disks };
    Sector::new(all_of(used, u64::from(slots)).get())
}

fn all_of(used: Sectors, slots: u64) -> Sectors {
    used.checked_mul(slots).unwrap_or(Sectors::MAX)
}

/// Whether a block of a journal of so many sectors begins at `tail`.
fn is_block_of_ring(tail: Sectors, ring: Sectors) -> bool {
    let end = tail.checked_add(BLOCK_SECTORS);
    tail.get() % BLOCK_SECTORS.get() == 0 && end.is_some_and(|end| end <= ring)
}
