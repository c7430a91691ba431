// SPDX-License-Identifier: GPL-2.0

//! A set of slots that needs no memory but its own.

use crate::units::Slot;

/// Bits of a word.
const WORD_BITS: u16 = 64;
/// Words for the most slots an array can have, 1920, and those a reshape takes away.
const WORDS: usize = 30;

/// Some of the slots 0 to 1919.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotSet([u64; WORDS]);

impl SlotSet {
    /// Adds `slot`; beyond 1919 there is none.
    pub fn insert(&mut self, slot: Slot) {
        if let Some(word) = self.0.get_mut(usize::from(slot.get() / WORD_BITS)) {
            *word |= 1 << (slot.get() % WORD_BITS);
        }
    }

    /// Whether `slot` is in the set.
    pub fn contains(&self, slot: Slot) -> bool {
        let word = self.0.get(usize::from(slot.get() / WORD_BITS));
        word.is_some_and(|word| word & (1 << (slot.get() % WORD_BITS)) != 0)
    }

    /// How many of the first `slots` slots are in the set.
    pub fn count_below(&self, slots: u16) -> u16 {
        (0..slots)
            .filter(|slot| self.contains(Slot::new(*slot)))
            .fold(0, |count, _| count.saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_told_apart() {
        let mut set = SlotSet::default();
        for slot in [0, 63, 64, 1919] {
            assert!(!set.contains(Slot::new(slot)));
            set.insert(Slot::new(slot));
            assert!(set.contains(Slot::new(slot)));
        }
        set.insert(Slot::new(1920));
        assert!(!set.contains(Slot::new(1920)));
        assert_eq!(
            [0, 1, 64, 65, 1920].map(|n| set.count_below(n)),
            [0, 1, 2, 3, 4]
        );
    }
}
