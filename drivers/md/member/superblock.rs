// SPDX-License-Identifier: GPL-2.0

//! A member's superblock, as it was read from the device.

use crate::{control::params::CHECK_NEW_FEATURE, error::OrErrno, log::Text};
use core::fmt;
use kernel::prelude::*;
use kernel_ext::{
    alloc::page::PageBuf,
    block::{bdev::BlockDevice, bio::Flags, sync_io::PagePart},
};
use md_core::{
    assemble,
    format::{
        sb0::{self, Sb0},
        sb1::{self, Device, MemberState, MinorVersion, Role, Sb1},
        BlockSize, NewFeatures,
    },
    units::{MemberNumber, Sectors},
    words::array::MetadataVersion,
};

/// The metadata of a member.
pub(crate) enum Superblock {
    /// The array has none on its members.
    None,
    /// Version 0.90.
    V0(PageBuf),
    /// Version 1.x.
    V1(MinorVersion, PageBuf),
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
                Self::V0(read_page(device, at.get())?)
            }
            MetadataVersion::V1 { minor } => {
                let minor = MinorVersion::from_number(minor).ok_or(EINVAL)?;
                let at = minor.superblock(length).ok_or(EINVAL)?;
                Self::V1(minor, read_page(device, at.get())?)
            }
        };
        superblock.view(device)?;
        Ok(superblock)
    }

    /// Writes the first `part` of the superblock to `device`. May sleep. `EIO` when it is not written.
    pub(crate) fn write(&self, device: &BlockDevice, part: PagePart, flags: Flags) -> Result {
        let length = Sectors::new(device.sectors());
        let (at, block) = match self {
            Self::None => return Ok(()),
            Self::V0(block) => (sb0::superblock(length), block),
            Self::V1(minor, block) => (minor.superblock(length), block),
        };
        let at = at.ok_or(EINVAL)?;
        device.write_wait(at.get(), block, part, flags).to_result()
    }

    /// What the superblock says; `None` when there is none.
    pub(crate) fn view(&self, device: &BlockDevice) -> Result<Option<View<'_>>> {
        let length = Sectors::new(device.sectors());
        Ok(match self {
            Self::None => None,
            Self::V0(block) => {
                let parsed = Sb0::parse(&block[..], length);
                Some(View::V0(explained(device, parsed).or_errno()?))
            }
            Self::V1(minor, block) => {
                let known = Device {
                    sectors: length,
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

fn read_page(device: &BlockDevice, sector: u64) -> Result<PageBuf> {
    let mut page = PageBuf::zeroed(GFP_KERNEL)?;
    let status = device.read_wait(sector, &mut page, PagePart::WHOLE, Flags::META);
    status.to_result().inspect_err(|_| {
        pr_warn!("{}: cannot read the superblock\n", Text(device.name()));
    })?;
    Ok(page)
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
