// SPDX-License-Identifier: GPL-2.0

//! Concatenation: each member follows the one in the slot before it.
//!
//! A [`Linear`] is a table of the array sectors at which its members end, searched by halving. The caller brings the
//! storage (a vector, a slice), so nothing is allocated here and the table can be swapped whole when a member is
//! added.

use super::{chunk::ChunkSize, BeyondEnd, MemberRun};
use crate::units::{Sector, Sectors, Slot};
use core::{
    fmt,
    ops::{Deref, DerefMut},
};

/// Why a linear array cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinearError {
    /// There is no member; EINVAL in C md.
    NoMembers,
    /// There are more members than slot numbers; EINVAL in C md.
    TooManyMembers,
    /// The members together are longer than 2^64 sectors; C md wraps around.
    TooLong,
    /// The storage does not have an entry for each member; a mistake of the caller.
    StorageMismatch,
}

impl fmt::Display for LinearError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoMembers => "a linear array needs a member",
            Self::TooManyMembers => "a linear array cannot have that many members",
            Self::TooLong => "the members together exceed 2^64 sectors",
            Self::StorageMismatch => "the table has not one entry for each member",
        })
    }
}

/// The rounding of each member's length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// The superblock has no chunk size: every sector of a member is used.
    Exact,
    /// Whole chunks only.
    Chunks(ChunkSize),
}

impl Rounding {
    fn apply(self, len: Sectors) -> Sectors {
        match self {
            Self::Exact => len,
            Self::Chunks(chunk) => chunk.round_down(len),
        }
    }
}

/// A linear array over storage `S`: for each slot, the array sector behind its member's last one.
///
/// # Invariants
///
/// The table is not empty, has at most 2^16 entries, and never decreases.
#[derive(Clone, Copy, Debug)]
pub struct Linear<S> {
    ends: S,
}

impl<S: DerefMut<Target = [Sectors]>> Linear<S> {
    /// Turns the members' lengths, in slot order, into the table.
    ///
    /// # Errors
    ///
    /// [`LinearError::NoMembers`], [`LinearError::TooManyMembers`], [`LinearError::TooLong`].
    pub fn from_lengths(mut lengths: S, rounding: Rounding) -> Result<Self, LinearError> {
        if lengths.is_empty() {
            return Err(LinearError::NoMembers);
        }
        if u16::try_from(lengths.len().saturating_sub(1)).is_err() {
            return Err(LinearError::TooManyMembers);
        }
        let mut end = Sectors::ZERO;
        for entry in lengths.iter_mut() {
            end = end
                .checked_add(rounding.apply(*entry))
                .ok_or(LinearError::TooLong)?;
            *entry = end;
        }
        // INVARIANT: the length was checked first, and each end is the one before plus a length.
        Ok(Self { ends: lengths })
    }
}

impl<S: Deref<Target = [Sectors]>> Linear<S> {
    /// The number of sectors in the array.
    pub fn array_size(&self) -> Sectors {
        self.ends.last().copied().unwrap_or(Sectors::ZERO)
    }

    /// Maps an array sector; the run reaches to the end of the member.
    ///
    /// # Errors
    ///
    /// [`BeyondEnd`].
    #[inline]
    pub fn map(&self, at: Sector) -> Result<MemberRun, BeyondEnd> {
        let index = self.ends.partition_point(|end| end.get() <= at.get());
        let end = self.ends.get(index).ok_or(BeyondEnd)?;
        let start = index
            .checked_sub(1)
            .and_then(|before| self.ends.get(before))
            .map_or(0, |before| before.get());
        Ok(MemberRun {
            slot: Slot::new(u16::try_from(index).map_err(|_| BeyondEnd)?),
            // By the type invariant `start <= at < end`.
            sector: Sector::new(at.get().saturating_sub(start)),
            len: Sectors::new(end.get().saturating_sub(at.get())),
        })
    }

    /// The array with one more member of `length` sectors, written to `storage`, which has an entry more than this
    /// table. Requests go on against the old table until the new one takes its place.
    ///
    /// # Errors
    ///
    /// [`LinearError::StorageMismatch`], [`LinearError::TooManyMembers`], [`LinearError::TooLong`].
    pub fn grown<T: DerefMut<Target = [Sectors]>>(
        &self,
        mut storage: T,
        length: Sectors,
        rounding: Rounding,
    ) -> Result<Linear<T>, LinearError> {
        let (last, before) = storage
            .split_last_mut()
            .ok_or(LinearError::StorageMismatch)?;
        if before.len() != self.ends.len() {
            return Err(LinearError::StorageMismatch);
        }
        if u16::try_from(before.len()).is_err() {
            return Err(LinearError::TooManyMembers);
        }
        for (new, old) in before.iter_mut().zip(self.ends.iter()) {
            *new = *old;
        }
        *last = self
            .array_size()
            .checked_add(rounding.apply(length))
            .ok_or(LinearError::TooLong)?;
        // INVARIANT: a valid table plus an entry not below its last; the length was checked above.
        Ok(Linear { ends: storage })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_follow_each_other() {
        let lengths = [10u64, 0, 7].map(Sectors::new).to_vec();
        let linear = Linear::from_lengths(lengths, Rounding::Exact).expect("a linear array");
        assert_eq!(linear.array_size(), Sectors::new(17));
        let run = |at| {
            linear
                .map(Sector::new(at))
                .map(|r| (r.slot.get(), r.sector.get(), r.len.get()))
        };
        assert_eq!(run(0), Ok((0, 0, 10)));
        assert_eq!(run(9), Ok((0, 9, 1)));
        // A member without a whole chunk holds nothing and is stepped over.
        assert_eq!(run(10), Ok((2, 0, 7)));
        assert_eq!(run(17), Err(BeyondEnd));
    }

    #[test]
    fn growing_keeps_what_was_there() {
        let old =
            Linear::from_lengths(vec![Sectors::new(9)], Rounding::Exact).expect("a linear array");
        let chunk = Rounding::Chunks(ChunkSize::new(8).expect("a chunk"));
        let new = old
            .grown(vec![Sectors::ZERO; 2], Sectors::new(23), chunk)
            .expect("grown");
        assert_eq!(new.array_size(), Sectors::new(25));
        assert_eq!(new.map(Sector::new(3)), old.map(Sector::new(3)));
        let short = old.grown(vec![Sectors::ZERO; 1], Sectors::new(8), chunk);
        assert_eq!(short.err(), Some(LinearError::StorageMismatch));
    }

    #[test]
    fn impossible_arrays_are_named() {
        let none: Vec<Sectors> = Vec::new();
        assert_eq!(
            Linear::from_lengths(none, Rounding::Exact).err(),
            Some(LinearError::NoMembers)
        );
        let long = vec![Sectors::MAX, Sectors::new(1)];
        assert_eq!(
            Linear::from_lengths(long, Rounding::Exact).err(),
            Some(LinearError::TooLong)
        );
        let many = vec![Sectors::new(1); 65537];
        assert_eq!(
            Linear::from_lengths(many, Rounding::Exact).err(),
            Some(LinearError::TooManyMembers)
        );
    }
}
