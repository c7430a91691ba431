// SPDX-License-Identifier: GPL-2.0

//! A member's superblock, as it was read from the device.

use crate::{control::params::CHECK_NEW_FEATURE, error::OrErrno, log::Text};
use core::{
    fmt,
    ops::{Deref, DerefMut},
};
use kernel::prelude::*;
use kernel_ext::{
    alloc::page::PageBuf,
    block::{bdev::BlockDevice, bio::Flags, sync_io::PagePart},
};
use md_core::{
    assemble,
    format::{
        extents::{Extents, LogUse},
        sb0::{self, Sb0},
        sb1::{self, BadBlockLog, CrashLog, Device, MemberState, MinorVersion, Role, Sb1},
        BlockSize, NewFeatures,
    },
    units::{MemberNumber, Sector, Sectors},
    words::array::MetadataVersion,
};

/// The metadata of a member.
pub(crate) enum Superblock {
    /// The array has none on its members.
    None,
    /// Version 0.90.
    V0(Block),
    /// Version 1.x.
    V1(MinorVersion, Block),
}

/// A superblock in memory. It stays where it was found, whatever becomes of the size of the device, until it is
/// [moved](Superblock::follow).
pub(crate) struct Block {
    page: PageBuf,
    /// The length of the device that the superblock's place is reckoned from.
    length: Sectors,
}

impl Deref for Block {
    type Target = PageBuf;

    fn deref(&self) -> &PageBuf {
        &self.page
    }
}

impl DerefMut for Block {
    fn deref_mut(&mut self) -> &mut PageBuf {
        &mut self.page
    }
}

const _: () = assert!(sb1::BLOCK_BYTES == kernel::page::PAGE_SIZE);

impl Superblock {
    /// Reads and checks the superblock of `device` that `metadata` says is there. May sleep.
    ///
    /// `EINVAL` when there is none or it is not valid, `EIO` when it cannot be read.
    pub(crate) fn read(device: &BlockDevice, metadata: MetadataVersion) -> Result<Self> {
        let length = Sectors::new(device.sectors());
        let superblock = match metadata {
            MetadataVersion::None | MetadataVersion::External(_) => return Ok(Self::None),
            MetadataVersion::V0 { .. } => {
                let at = sb0::superblock(length).ok_or(EINVAL)?;
                Self::V0(read_block(device, at.get(), length)?)
            }
            MetadataVersion::V1 { minor } => {
                let minor = MinorVersion::from_number(minor).ok_or(EINVAL)?;
                let at = minor.superblock(length).ok_or(EINVAL)?;
                Self::V1(minor, read_block(device, at.get(), length)?)
            }
        };
        superblock.view(device)?;
        Ok(superblock)
    }

    /// Writes the first `part` of the superblock to `device`. May sleep. `EIO` when it is not written.
    pub(crate) fn write(&self, device: &BlockDevice, part: PagePart, flags: Flags) -> Result {
        let block = match self {
            Self::None => return Ok(()),
            Self::V0(block) | Self::V1(_, block) => block,
        };
        let at = self.place().ok_or(EINVAL)?;
        device.write_wait(at.get(), block, part, flags).to_result()
    }

    /// Where it lies on its device; `None` when there is none.
    fn place(&self) -> Option<Sector> {
        match self {
            Self::None => None,
            Self::V0(block) => sb0::superblock(block.length),
            Self::V1(minor, block) => minor.superblock(block.length),
        }
    }

    /// Has a superblock at the end of a device follow the end, and gives the room for data there is now, from the
    /// beginning of the device. The superblock and what goes with it are to be written afterwards; what is at the old
    /// place stays. May sleep.
    ///
    /// `EBUSY` when a bitmap or a log is in the way, `EIO` when the bad-block log cannot be moved along.
    pub(crate) fn follow(&mut self, device: &BlockDevice) -> Result<Sectors> {
        let length = Sectors::new(device.sectors());
        let stays = matches!(
            self,
            Self::None | Self::V1(MinorVersion::V1_1 | MinorVersion::V1_2, _)
        );
        let log = match self.view(device)? {
            // It is where the superblock says, counted from there.
            Some(view) if !stays && view.member().crash_log != CrashLog::None => return Err(EBUSY),
            Some(View::V1(sb)) => usable_log(&sb),
            _ => None,
        };
        let before = self.place();
        match self {
            Self::None => return Ok(length),
            Self::V0(block) => block.length = length,
            Self::V1(MinorVersion::V1_0, block) => block.length = length,
            Self::V1(_, block) => {
                block.length = length;
                return Ok(length);
            }
        }
        let (Some(before), Some(after)) = (before, self.place()) else {
            return Err(EINVAL);
        };
        match self {
            Self::V1(_, block) if before != after => {
                if let Some(log) = log {
                    move_log(device, before, after, log)?;
                }
                sb1::relocate(&mut block[..], after).or_errno()?;
                Ok(sb1::data_room_1_0(length))
            }
            Self::V1(..) => Ok(sb1::data_room_1_0(length)),
            _ => Ok(sb0::data_room(length)),
        }
    }

    /// What the superblock says; `None` when there is none.
    pub(crate) fn view(&self, device: &BlockDevice) -> Result<Option<View<'_>>> {
        Ok(match self {
            Self::None => None,
            Self::V0(block) => {
                let parsed = Sb0::parse(&block[..], block.length);
                Some(View::V0(explained(device, parsed).or_errno()?))
            }
            Self::V1(minor, block) => {
                let known = Device {
                    sectors: block.length,
                    block: BlockSize::new(device.logical_block_size()).ok_or(EINVAL)?,
                };
                let unknown = if CHECK_NEW_FEATURE.get() {
                    NewFeatures::Refuse
                } else {
                    NewFeatures::Ignore
                };
                let parsed = Sb1::parse(&block[..], *minor, known, unknown);
                Some(View::V1(explained(device, parsed).or_errno()?))
            }
        })
    }
}

/// The bad-block log of a member without a bitmap.
pub(super) fn usable_log(sb: &Sb1<'_>) -> Option<BadBlockLog> {
    match sb.extents().log_use(None) {
        Ok(LogUse::Usable(log)) => Some(log),
        _ => None,
    }
}

/// Copies a bad-block log to where it lies after its superblock has moved.
fn move_log(device: &BlockDevice, before: Sector, after: Sector, log: BadBlockLog) -> Result {
    let part = u32::try_from(log.range.len().get())
        .ok()
        .and_then(|sectors| PagePart::new(0, sectors));
    let part = part.ok_or(EINVAL)?;
    let from = log.range.start();
    let to = match before.distance_from(from) {
        Some(by) => after.checked_sub(by),
        None => from
            .distance_from(before)
            .and_then(|by| after.checked_add(by)),
    };
    let to = to.ok_or(EINVAL)?;
    let mut page = PageBuf::zeroed(GFP_KERNEL)?;
    let read = device.read_wait(from.get(), &mut page, part, Flags::META);
    read.to_result()?;
    let flags = Flags::FUA.with(Flags::META).with(Flags::SYNC);
    device.write_wait(to.get(), &page, part, flags).to_result()
}

/// Says why a superblock is not taken.
fn explained<T, E: fmt::Display>(
    device: &BlockDevice,
    parsed: core::result::Result<T, E>,
) -> core::result::Result<T, E> {
    parsed.inspect_err(|error| {
        pr_warn!(
            "{}: no valid superblock: {}\n",
            Text(device.name()),
            Text(error)
        );
    })
}

fn read_block(device: &BlockDevice, sector: u64, length: Sectors) -> Result<Block> {
    let mut page = PageBuf::zeroed(GFP_KERNEL)?;
    let status = device.read_wait(sector, &mut page, PagePart::WHOLE, Flags::META);
    status.to_result().inspect_err(|_| {
        pr_warn!("{}: cannot read the superblock\n", Text(device.name()));
    })?;
    Ok(Block { page, length })
}

/// A checked superblock.
pub(crate) enum View<'a> {
    /// Version 0.90.
    V0(Sb0<'a>),
    /// Version 1.x.
    V1(Sb1<'a>),
}

impl View<'_> {
    /// What matters for the assembly of the array.
    pub(crate) fn assembly(&self) -> assemble::Member {
        match self {
            Self::V0(sb) => assemble::Member::of_sb0(sb),
            Self::V1(sb) => assemble::Member::of_sb1(sb),
        }
    }

    /// What it says of the member.
    pub(crate) fn member(&self) -> MemberState {
        match self {
            Self::V0(sb) => *sb.member(),
            Self::V1(sb) => *sb.member(),
        }
    }

    /// Where everything is on the member.
    pub(crate) fn extents(&self) -> Extents {
        match self {
            Self::V0(sb) => sb.extents(),
            Self::V1(sb) => sb.extents(),
        }
    }

    /// The member's number in the tables of the superblocks.
    pub(crate) fn number(&self) -> Option<MemberNumber> {
        match self {
            Self::V0(sb) => Some(sb.number()),
            Self::V1(sb) => sb.number(),
        }
    }

    /// When the array was created, in seconds since the epoch.
    pub(crate) fn created(&self) -> u64 {
        match self {
            Self::V0(sb) => sb.created().seconds(),
            Self::V1(sb) => sb.created().seconds(),
        }
    }

    /// The role this superblock gives to the member of a number. Those of version 0.90 are asked about themselves only.
    pub(crate) fn role_of(&self, number: MemberNumber) -> Option<Role> {
        match self {
            Self::V0(_) => None,
            Self::V1(sb) => sb.role_of(number),
        }
    }
}
