// SPDX-License-Identifier: GPL-2.0

//! The printer of `/proc/mdstat`.
//!
//! The driver fills an [`ArrayView`] from a snapshot and passes the members and slots as iterators; nothing is kept.
//! Programs parse this file: mdadm by words, people by eye, so every blank is as C md prints it. The whole is
//! [`print_personalities`], [`print_array`] for each array from the newest to the oldest, [`print_unused`].

use core::fmt::{self, Write};

use super::array::MetadataVersion;
use super::level::{level_name, PERSONALITIES};
use crate::format::level::Level;
use crate::units::{MemberNumber, Sectors};

pub use super::progress::{Rate, RemoteKind, SyncKind, SyncLine, SyncProgress};

/// One array.
#[derive(Clone, Copy, Debug)]
pub struct ArrayView<'a> {
    /// Name of the disk, `md0` or `md_NAME`.
    pub name: &'a str,
    /// What metadata it has.
    pub metadata: MetadataVersion,
    /// Whether it runs, and what it says of itself then.
    pub run: Run,
    /// Its bitmap, if it has one with pages to count.
    pub bitmap: Option<BitmapView<'a>>,
}

/// Whether an array runs.
#[derive(Clone, Copy, Debug)]
pub enum Run {
    /// It does not.
    Inactive,
    /// It does.
    Active(Active),
}

/// A running array.
#[derive(Clone, Copy, Debug)]
pub struct Active {
    /// Its level.
    pub level: Level,
    /// Whether it has failed beyond its redundancy.
    pub health: Health,
    /// Whether it can be written.
    pub access: Access,
    /// Its size as users see it.
    pub size: Sectors,
    /// What its personality adds.
    pub geometry: Geometry,
    /// Members missing or not in sync.
    pub degraded: u32,
    /// What is going on; [`SyncLine::Nothing`] for levels without redundancy.
    pub sync: SyncLine,
}

/// Whether a running array has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It has not.
    Sound,
    /// It has: it is called `broken` instead of `active`.
    Broken,
}

/// Whether a running array can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It can.
    ReadWrite,
    /// It cannot.
    ReadOnly,
    /// From the first write on.
    AutoReadOnly,
}

/// What each personality prints of the array's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Geometry {
    /// Members one behind the other.
    Linear {
        /// What member sizes are rounded down to.
        rounding: Sectors,
    },
    /// Stripes.
    Raid0 {
        /// Chunk.
        chunk: Sectors,
    },
    /// Copies.
    Raid1,
    /// Copies of chunks.
    Raid10(Raid10Geometry),
    /// Parity.
    Raid456 {
        /// Chunk.
        chunk: Sectors,
        /// Layout number.
        algorithm: i32,
    },
}

/// The shape of a raid10.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raid10Geometry {
    /// Chunk.
    pub chunk: Sectors,
    /// Slots.
    pub slots: u32,
    /// Copies at about the same place.
    pub near_copies: u32,
    /// Copies at a distance.
    pub far: FarCopies,
    /// Slots that share far copies.
    pub far_set_slots: u32,
}

/// Copies of a raid10 that are not near.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FarCopies {
    /// None.
    None,
    /// So many, each in a part of the member of its own; at least 2.
    Far(u32),
    /// So many, in neighbouring stripes; at least 2.
    Offset(u32),
}

/// One member as it is listed.
#[derive(Clone, Copy, Debug)]
pub struct MemberView<'a> {
    /// Name of the block device.
    pub name: &'a str,
    /// Its number in the superblock, -1 before it has one.
    pub number: Option<MemberNumber>,
    /// What it is to the array.
    pub role: Role,
    /// Whether it is read only when nothing else can be.
    pub reads: Reads,
    /// The part of it the array can use.
    pub size: Sectors,
}

/// What a member is to the array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It has a slot.
    InSlot,
    /// It has a slot, and takes the place of the one that has it too.
    Replacement,
    /// It has no slot.
    Spare,
    /// It has no slot, but is to replace a member.
    SpareReplacement,
    /// The write journal in its slot.
    Journal,
    /// The write journal, not in use yet.
    SpareJournal,
    /// It has failed.
    Faulty,
    /// The write journal, and it has failed.
    FaultyJournal,
}

/// Whether a member is read like any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// It is.
    Normal,
    /// Only when nothing else can be.
    WriteMostly,
}

/// Whether a slot has a member with current data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotHealth {
    /// It has: `U`.
    InSync,
    /// It has not: `_`.
    Missing,
}

/// What is counted of a bitmap.
#[derive(Clone, Copy, Debug)]
pub struct BitmapView<'a> {
    /// Pages that are in memory.
    pub used_pages: u64,
    /// Pages there could be.
    pub pages: u64,
    /// Bytes of a page of memory.
    pub page_bytes: u32,
    /// Bytes of a chunk.
    pub chunk_bytes: u64,
    /// The path of its file.
    pub file: Option<&'a str>,
}

/// Prints the first line: which of the personalities, in their fixed order, are `available`.
///
/// # Errors
///
/// Those of `out`.
pub fn print_personalities(out: &mut impl Write, available: &[Level]) -> fmt::Result {
    out.write_str("Personalities : ")?;
    for (level, name) in PERSONALITIES {
        if available.contains(&level) {
            write!(out, "[{name}] ")?;
        }
    }
    out.write_str("\n")
}

/// Prints the last line. Arrays are not assembled in the kernel, so no device is ever left over.
///
/// # Errors
///
/// Those of `out`.
pub fn print_unused(out: &mut impl Write) -> fmt::Result {
    out.write_str("unused devices: <none>\n")
}

/// Prints one array: `members` in the order of the array's list, `slots` from slot 0 up. `slots` is used by levels with
/// redundancy only.
///
/// An array with neither a personality, nor slots, nor members is not printed at all; that is the caller's choice.
///
/// # Errors
///
/// Those of `out`.
pub fn print_array<'m>(
    out: &mut impl Write,
    array: &ArrayView<'_>,
    members: impl Iterator<Item = MemberView<'m>>,
    slots: impl Iterator<Item = SlotHealth> + Clone,
) -> fmt::Result {
    write!(out, "{} : ", array.name)?;
    print_state(out, &array.run)?;
    let usable = print_members(out, members)?;
    if let Some(usable) = usable {
        let size = match array.run {
            Run::Active(active) => active.size,
            Run::Inactive => usable,
        };
        write!(out, "\n      {} blocks", size.to_kib())?;
    }
    print_metadata(out, array.metadata)?;
    match array.run {
        Run::Inactive => out.write_str("\n       ")?,
        Run::Active(active) => {
            print_geometry(out, &active, slots)?;
            out.write_str("\n      ")?;
            if active.sync != SyncLine::Nothing {
                write!(out, "{}\n      ", active.sync)?;
            }
        }
    }
    if let Some(bitmap) = array.bitmap {
        print_bitmap(out, &bitmap)?;
    }
    out.write_str("\n")
}

fn print_state(out: &mut impl Write, run: &Run) -> fmt::Result {
    let Run::Active(active) = run else {
        return out.write_str("inactive");
    };
    out.write_str(match active.health {
        Health::Sound => "active",
        Health::Broken => "broken",
    })?;
    out.write_str(match active.access {
        Access::ReadWrite => "",
        Access::ReadOnly => " (read-only)",
        Access::AutoReadOnly => " (auto-read-only)",
    })?;
    write!(out, " {}", level_name(active.level).unwrap_or("unknown"))
}

/// Prints the members; returns the sum of the sizes of those that have not failed, or `None` without any member.
fn print_members<'m>(
    out: &mut impl Write,
    members: impl Iterator<Item = MemberView<'m>>,
) -> Result<Option<Sectors>, fmt::Error> {
    let mut usable = None;
    for member in members {
        let number = member.number.map_or(-1, |number| i64::from(number.get()));
        let write_mostly = match member.reads {
            Reads::Normal => "",
            Reads::WriteMostly => "(W)",
        };
        let (role, works) = match member.role {
            Role::InSlot => ("", true),
            Role::Replacement => ("(R)", true),
            Role::Spare => ("(S)", true),
            Role::SpareReplacement => ("(S)(R)", true),
            Role::Journal => ("(J)", true),
            Role::SpareJournal => ("(J)(S)", true),
            Role::Faulty => ("(F)", false),
            Role::FaultyJournal => ("(J)(F)", false),
        };
        write!(out, " {}[{number}]{write_mostly}{role}", member.name)?;
        let size = if works { member.size.get() } else { 0 };
        let sum = usable.map_or(0, Sectors::get);
        usable = Some(Sectors::new(u64::saturating_add(sum, size)));
    }
    Ok(usable)
}

fn print_metadata(out: &mut impl Write, metadata: MetadataVersion) -> fmt::Result {
    match metadata {
        MetadataVersion::V0 { minor: 90 } => Ok(()),
        MetadataVersion::None => out.write_str(" super non-persistent"),
        other => write!(out, " super {other}"),
    }
}

fn print_geometry(
    out: &mut impl Write,
    active: &Active,
    slots: impl Iterator<Item = SlotHealth> + Clone,
) -> fmt::Result {
    match active.geometry {
        Geometry::Linear { rounding } => write!(out, " {}k rounding", rounding.to_kib()),
        Geometry::Raid0 { chunk } => write!(out, " {}k chunks", chunk.to_kib()),
        Geometry::Raid1 => print_slots(out, active.degraded, slots),
        Geometry::Raid10(geometry) => {
            print_raid10(out, &geometry)?;
            print_slots(out, active.degraded, slots)
        }
        Geometry::Raid456 { chunk, algorithm } => {
            let (level, chunk) = (active.level.number(), chunk.to_kib());
            write!(out, " level {level}, {chunk}k chunk, algorithm {algorithm}")?;
            print_slots(out, active.degraded, slots)
        }
    }
}

fn print_raid10(out: &mut impl Write, geometry: &Raid10Geometry) -> fmt::Result {
    if geometry.near_copies < geometry.slots {
        write!(out, " {}K chunks", geometry.chunk.to_kib())?;
    }
    if geometry.near_copies > 1 {
        write!(out, " {} near-copies", geometry.near_copies)?;
    }
    match geometry.far {
        FarCopies::None => return Ok(()),
        FarCopies::Far(copies) => write!(out, " {copies} far-copies")?,
        FarCopies::Offset(copies) => write!(out, " {copies} offset-copies")?,
    }
    if geometry.far_set_slots != geometry.slots {
        write!(out, " {} devices per set", geometry.far_set_slots)?;
    }
    Ok(())
}

fn print_slots(
    out: &mut impl Write,
    degraded: u32,
    slots: impl Iterator<Item = SlotHealth> + Clone,
) -> fmt::Result {
    let count = slots
        .clone()
        .fold(0, |count: u32, _| count.saturating_add(1));
    write!(out, " [{count}/{}] [", count.saturating_sub(degraded))?;
    for slot in slots {
        out.write_str(match slot {
            SlotHealth::InSync => "U",
            SlotHealth::Missing => "_",
        })?;
    }
    out.write_str("]")
}

fn print_bitmap(out: &mut impl Write, bitmap: &BitmapView<'_>) -> fmt::Result {
    let BitmapView {
        used_pages,
        pages,
        page_bytes,
        chunk_bytes,
        file,
    } = *bitmap;
    let used_kib = used_pages.saturating_mul(u64::from(page_bytes / 1024));
    let (chunk, unit) = match chunk_bytes / 1024 {
        0 => (chunk_bytes, "B"),
        kib => (kib, "KB"),
    };
    write!(
        out,
        "bitmap: {used_pages}/{pages} pages [{used_kib}KB], {chunk}{unit} chunk"
    )?;
    if let Some(file) = file {
        out.write_str(", file: ")?;
        print_path(out, file)?;
    }
    out.write_str("\n")
}

/// Prints a path with blanks as octal escapes, as `seq_file_path()` does for `" \t\n"`.
fn print_path(out: &mut impl Write, path: &str) -> fmt::Result {
    for character in path.chars() {
        match character {
            ' ' => out.write_str("\\040")?,
            '\t' => out.write_str("\\011")?,
            '\n' => out.write_str("\\012")?,
            other => out.write_char(other)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use SlotHealth::{InSync, Missing};

    fn member(name: &str, number: u32, role: Role) -> MemberView<'_> {
        MemberView {
            name,
            number: Some(MemberNumber::new(number)),
            role,
            reads: Reads::Normal,
            size: Sectors::new(4096),
        }
    }

    fn active(level: Level, geometry: Geometry) -> Active {
        Active {
            level,
            health: Health::Sound,
            access: Access::ReadWrite,
            size: Sectors::new(8192),
            geometry,
            degraded: 1,
            sync: SyncLine::Nothing,
        }
    }

    fn printed(array: &ArrayView<'_>, members: &[MemberView<'_>], slots: &[SlotHealth]) -> String {
        let mut out = String::new();
        print_array(
            &mut out,
            array,
            members.iter().copied(),
            slots.iter().copied(),
        )
        .expect("a string takes everything");
        out
    }

    fn array(run: Run) -> ArrayView<'static> {
        ArrayView {
            name: "md0",
            metadata: MetadataVersion::V1 { minor: 2 },
            run,
            bitmap: None,
        }
    }

    #[test]
    fn a_degraded_mirror_with_everything() {
        let mut run = active(Level::Raid1, Geometry::Raid1);
        run.sync = SyncLine::Pending;
        run.access = Access::AutoReadOnly;
        let mut view = array(Run::Active(run));
        view.bitmap = Some(BitmapView {
            used_pages: 1,
            pages: 2,
            page_bytes: 4096,
            chunk_bytes: 65_536 << 10,
            file: Some("/a b"),
        });
        let write_mostly = MemberView {
            reads: Reads::WriteMostly,
            ..member("sdb", 1, Role::InSlot)
        };
        let members = [
            member("sdd", 3, Role::Spare),
            member("sdc", 2, Role::Faulty),
            write_mostly,
        ];
        assert_eq!(
            printed(&view, &members, &[Missing, InSync]),
            "md0 : active (auto-read-only) raid1 sdd[3](S) sdc[2](F) sdb[1](W)\n      4096 blocks super 1.2 [2/1] \
             [_U]\n      \tresync=PENDING\n      bitmap: 1/2 pages [4KB], 65536KB chunk, file: /a\\040b\n\n"
        );
    }

    #[test]
    fn an_inactive_array_sums_its_members() {
        let mut view = array(Run::Inactive);
        view.metadata = MetadataVersion::V0 { minor: 90 };
        let members = [
            member("sda", 0, Role::Spare),
            member("sdb", 1, Role::Faulty),
            member("sdc", 2, Role::FaultyJournal),
        ];
        assert_eq!(
            printed(&view, &members, &[]),
            "md0 : inactive sda[0](S) sdb[1](F) sdc[2](J)(F)\n      2048 blocks\n       \n"
        );
        view.metadata = MetadataVersion::None;
        assert_eq!(
            printed(&view, &[], &[]),
            "md0 : inactive super non-persistent\n       \n"
        );
    }

    #[test]
    fn every_personality_has_its_words() {
        let chunk = Sectors::new(1024);
        let raid10 = |near_copies, far, far_set_slots| {
            let geometry = Raid10Geometry {
                chunk,
                slots: 4,
                near_copies,
                far,
                far_set_slots,
            };
            (Level::Raid10, Geometry::Raid10(geometry))
        };
        for ((level, geometry), want) in [
            (
                (Level::Linear, Geometry::Linear { rounding: chunk }),
                " 512k rounding\n",
            ),
            ((Level::Raid0, Geometry::Raid0 { chunk }), " 512k chunks\n"),
            (
                (
                    Level::Raid5,
                    Geometry::Raid456 {
                        chunk,
                        algorithm: 2,
                    },
                ),
                " level 5, 512k chunk, algorithm 2 [2/1] [U_]\n",
            ),
            (
                raid10(2, FarCopies::None, 4),
                " 512K chunks 2 near-copies [2/1] [U_]\n",
            ),
            (raid10(4, FarCopies::None, 4), " 4 near-copies [2/1] [U_]\n"),
            (
                raid10(1, FarCopies::Offset(2), 4),
                " 512K chunks 2 offset-copies [2/1] [U_]\n",
            ),
            (
                raid10(1, FarCopies::Far(2), 2),
                " 512K chunks 2 far-copies 2 devices per set [2/1] [U_]\n",
            ),
        ] {
            let view = array(Run::Active(active(level, geometry)));
            let text = printed(&view, &[member("sda", 0, Role::InSlot)], &[InSync, Missing]);
            assert!(text.contains(want), "{text}");
            assert!(text.ends_with("\n      \n"), "{text}");
        }
    }

    #[test]
    fn first_and_last_line() {
        let mut out = String::new();
        print_personalities(&mut out, &PERSONALITIES.map(|(level, _)| level))
            .and_then(|()| print_unused(&mut out))
            .expect("a string");
        assert_eq!(
            out,
            "Personalities : [raid0] [raid1] [raid4] [raid5] [raid6] [raid10] [linear] \nunused devices: <none>\n"
        );
    }
}
