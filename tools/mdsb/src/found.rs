// SPDX-License-Identifier: GPL-2.0

//! The superblocks on a member, wherever a version may have put one.

use md_core::{
    format::{
        extents::{Extents, ExtentsError},
        ident::{SbTime, Uuid},
        sb0::{self, Sb0, Sb0Error},
        sb1::{
            ArrayState, Device, MemberState, MinorVersion, Role, Sb1, Sb1Error, Strays, Unplaced,
            BLOCK_BYTES,
        },
        NewFeatures, SB_MAGIC,
    },
    units::{Sector, Sectors},
};
use std::fmt;

use crate::{failure::Failure, source::Source};

/// A shorter member has no room for a superblock of any version.
const SHORTEST: Sectors = Sectors::new(8);

/// Where a superblock lies, hence which version it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    V0_90,
    V1(MinorVersion),
}

impl Version {
    const ALL: [Self; 4] = [
        Self::V1(MinorVersion::V1_2),
        Self::V1(MinorVersion::V1_1),
        Self::V1(MinorVersion::V1_0),
        Self::V0_90,
    ];

    fn superblock(self, device: Sectors) -> Option<Sector> {
        match self {
            Self::V0_90 => sb0::superblock(device),
            Self::V1(minor) => minor.superblock(device),
        }
    }

    /// Whether `block` begins like a superblock of this version, of either byte order.
    fn is_in(self, block: &[u8]) -> bool {
        let word = |index: usize| {
            let word = block.get(4 * index..)?.first_chunk()?;
            Some(u32::from_le_bytes(*word))
        };
        match self {
            Self::V0_90 => {
                matches!(word(0), Some(magic) if magic == SB_MAGIC || magic == SB_MAGIC.swap_bytes())
                    && word(1) == Some(0)
            }
            Self::V1(_) => word(0) == Some(SB_MAGIC) && word(1) == Some(1),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V0_90 => write!(f, "0.90"),
            Self::V1(minor) => write!(f, "1.{}", minor.number()),
        }
    }
}

/// A superblock that was found, not yet judged.
pub struct Member {
    pub version: Version,
    pub at: Sector,
    pub bytes: Vec<u8>,
    device: Device,
}

impl Member {
    /// Everything on `source` that begins like a superblock.
    pub fn all(source: &Source) -> Result<Vec<Self>, Failure> {
        if source.sectors < SHORTEST {
            return Err(Failure::Truncated {
                path: source.path.clone(),
                what: "every superblock",
            });
        }
        let mut found = Vec::new();
        for version in Version::ALL {
            let Some(at) = version.superblock(source.sectors) else {
                continue;
            };
            let bytes = source.read(at, BLOCK_BYTES as u64, "the superblock")?;
            if version.is_in(&bytes) {
                found.push(Self {
                    version,
                    at,
                    bytes,
                    device: Device {
                        sectors: source.sectors,
                        block: source.block,
                    },
                });
            }
        }
        Ok(found)
    }

    /// The superblock to believe: as mdadm has it, the one of the array made last; failing that, any that is there.
    pub fn best(source: &Source) -> Result<Self, Failure> {
        let found = Self::all(source)?;
        let not_md = || Failure::NotMd(source.path.clone());
        found
            .into_iter()
            .max_by_key(|member| member.superblock().map(|sb| sb.created()).ok())
            .ok_or_else(not_md)
    }

    /// The superblock, verified but for overlaps of what it places on the member: those are to be named.
    pub fn superblock(&self) -> Result<Superblock<'_>, Failure> {
        let refused = |reason: &dyn fmt::Display, cut: bool| Failure::Refused {
            version: self.version.to_string(),
            reason: format!(
                "{reason}{}",
                if cut {
                    "; is the member cut short?"
                } else {
                    ""
                }
            ),
        };
        match self.version {
            Version::V0_90 => Sb0::parse(&self.bytes, self.device.sectors)
                .map(Superblock::V0)
                .map_err(|error| refused(&error, error == Sb0Error::DataBeyondDevice)),
            Version::V1(minor) => Sb1::read(&self.bytes, minor, self.device, NewFeatures::Refuse)
                .map(Superblock::V1)
                .map_err(|error| refused(&error, is_beyond_end(error))),
        }
    }
}

/// Whether it may be that the member is shorter than it was.
fn is_beyond_end(error: Sb1Error) -> bool {
    match error {
        Sb1Error::DataBeyondDevice => true,
        Sb1Error::BadBlockLogPlace(by) | Sb1Error::BitmapPlace(by) => by > 0,
        Sb1Error::PplPlace(by) => by > 0,
        _ => false,
    }
}

/// A superblock of either format, verified but for its areas.
pub enum Superblock<'a> {
    V0(Sb0<'a>),
    V1(Sb1<'a, Unplaced>),
}

impl Superblock<'_> {
    pub fn array(&self) -> &ArrayState {
        match self {
            Self::V0(sb) => sb.array(),
            Self::V1(sb) => sb.array(),
        }
    }

    pub fn member(&self) -> &MemberState {
        match self {
            Self::V0(sb) => sb.member(),
            Self::V1(sb) => sb.member(),
        }
    }

    pub fn set_uuid(&self) -> Uuid {
        match self {
            Self::V0(sb) => sb.set_uuid(),
            Self::V1(sb) => sb.set_uuid(),
        }
    }

    /// A UUID of this array as mdadm prints it: that of a 0.90 array as four words of the host.
    pub fn uuid_text(&self, uuid: Uuid) -> String {
        match self {
            Self::V1(_) => uuid.to_string(),
            Self::V0(_) => {
                let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = uuid.bytes();
                let words = [[a, b, c, d], [e, f, g, h], [i, j, k, l], [m, n, o, p]];
                words
                    .map(|word| format!("{:08x}", u32::from_ne_bytes(word)))
                    .join(":")
            }
        }
    }

    pub fn created(&self) -> SbTime {
        match self {
            Self::V0(sb) => sb.created(),
            Self::V1(sb) => sb.created(),
        }
    }

    pub fn role(&self) -> Role {
        match self {
            Self::V0(sb) => sb.role(),
            Self::V1(sb) => sb.role(),
        }
    }

    /// What it had stored that reaches too far.
    pub fn strays(&self) -> Strays {
        match self {
            Self::V0(sb) => sb.strays(),
            Self::V1(sb) => sb.strays(),
        }
    }

    /// Where everything on the member lies, unless some of it overlaps.
    pub fn extents(&self) -> Result<Extents, ExtentsError> {
        match self {
            Self::V0(sb) => Ok(sb.extents()),
            Self::V1(sb) => sb.place().map(|sb| sb.extents()),
        }
    }
}
