// SPDX-License-Identifier: GPL-2.0

//! What each member holds in a row of a parity array.

use super::word::{ParityLayout, Raid5Layout, Raid6Layout};
use crate::{layout::chunk::MemberCount, units::Slot};

/// How P moves from row to row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rotation {
    /// From the last member of the rotation down.
    Down,
    /// As [`Rotation::Down`], one row ahead.
    DownAhead,
    /// From the first member up.
    Up,
    /// Always on the first member.
    First,
    /// Always behind the data.
    Last,
}

/// Where Q is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum QPlace {
    None,
    AfterP,
    BeforeP,
    LastMember,
}

/// In which order the data chunks of a row take the members without parity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DataOrder {
    /// From the first member on, stepping over parity.
    Restart,
    /// From behind the parity on, around.
    Continue,
}

/// In which order the data enters the Q syndrome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum QOrder {
    /// md: from behind Q on, around, data only.
    BehindQ,
    /// DDF: from the first member on, P and Q counting as blocks of zeroes.
    BySlot,
}

/// A layout as a row of one table.
///
/// # Invariants
///
/// The rotation has no more members than the array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    rotation: Rotation,
    q: QPlace,
    data: DataOrder,
    q_order: QOrder,
    members: MemberCount,
    /// The members that P moves over: all, or all but the last where that one holds Q.
    moving: MemberCount,
}

impl Rule {
    /// The rule of a layout; `None` when there is no member left to move over.
    pub(super) fn of(layout: ParityLayout, members: MemberCount) -> Option<Self> {
        use {DataOrder::*, QOrder::*, QPlace::*, Rotation::*};
        let (rotation, q, data, q_order) = match layout {
            ParityLayout::Raid4 => (Last, None, Restart, BehindQ),
            ParityLayout::Raid5(five) => {
                let (rotation, data) = raid5_rule(five);
                (rotation, None, data, BehindQ)
            }
            ParityLayout::Raid6(six) => match six {
                Raid6Layout::LeftAsymmetric => (Down, AfterP, Restart, BehindQ),
                Raid6Layout::RightAsymmetric => (Up, AfterP, Restart, BehindQ),
                Raid6Layout::LeftSymmetric => (Down, AfterP, Continue, BehindQ),
                Raid6Layout::RightSymmetric => (Up, AfterP, Continue, BehindQ),
                Raid6Layout::ParityFirst => (First, AfterP, Restart, BehindQ),
                Raid6Layout::ParityLast => (Last, LastMember, Restart, BehindQ),
                Raid6Layout::RotatingZeroRestart => (Up, AfterP, Restart, BySlot),
                Raid6Layout::RotatingNRestart => (DownAhead, AfterP, Restart, BySlot),
                Raid6Layout::RotatingNContinue => (Down, BeforeP, Continue, BySlot),
                Raid6Layout::LeftAsymmetric6 => (Down, LastMember, Restart, BehindQ),
                Raid6Layout::RightAsymmetric6 => (Up, LastMember, Restart, BehindQ),
                Raid6Layout::LeftSymmetric6 => (Down, LastMember, Continue, BehindQ),
                Raid6Layout::RightSymmetric6 => (Up, LastMember, Continue, BehindQ),
                Raid6Layout::ParityFirst6 => (First, LastMember, Restart, BehindQ),
            },
        };
        let moving = match q {
            LastMember => MemberCount::new(members.get().checked_sub(1)?)?,
            _ => members,
        };
        // INVARIANT: `moving` is all members or one less.
        Some(Self {
            rotation,
            q,
            data,
            q_order,
            members,
            moving,
        })
    }

    /// What each member holds in row number `row`.
    #[inline]
    pub(super) fn roles(&self, row: u64) -> Roles {
        let last = self.moving.get().saturating_sub(1);
        let p = match self.rotation {
            Rotation::Down => last.saturating_sub(self.moving.split(row).1),
            Rotation::DownAhead => last.saturating_sub(self.moving.split(row.saturating_add(1)).1),
            Rotation::Up => self.moving.split(row).1,
            Rotation::First => 0,
            Rotation::Last => last,
        };
        let members = self.members.get();
        let q = match self.q {
            QPlace::None => None,
            QPlace::AfterP => Some(after(p, members)),
            QPlace::BeforeP => Some(p.checked_sub(1).unwrap_or(members.saturating_sub(1))),
            QPlace::LastMember => Some(members.saturating_sub(1)),
        };
        let data = match self.data {
            DataOrder::Restart => DataSlots::Skipping {
                low: p.min(q.unwrap_or(p)),
                high: q.map(|q| p.max(q)),
            },
            DataOrder::Continue => DataSlots::From {
                first: match self.q {
                    QPlace::AfterP => after(after(p, members), members),
                    _ => after(p, self.moving.get()),
                },
                around: self.moving.get(),
            },
        };
        Roles {
            members,
            p,
            q,
            data,
            q_order: self.q_order,
        }
    }

    /// Whether `slot` never holds data.
    pub(super) fn is_parity_only(&self, slot: Slot) -> bool {
        let last = self.members.get().saturating_sub(1);
        match (self.rotation, self.q) {
            (Rotation::First, QPlace::AfterP) => slot.get() <= 1,
            (Rotation::First, QPlace::LastMember) => slot.get() == 0 || slot.get() == last,
            (Rotation::First, _) => slot.get() == 0,
            (Rotation::Last, QPlace::LastMember) => slot.get() >= last.saturating_sub(1),
            (Rotation::Last, _) | (_, QPlace::LastMember) => slot.get() == last,
            _ => false,
        }
    }
}

const fn raid5_rule(layout: Raid5Layout) -> (Rotation, DataOrder) {
    match layout {
        Raid5Layout::LeftAsymmetric => (Rotation::Down, DataOrder::Restart),
        Raid5Layout::RightAsymmetric => (Rotation::Up, DataOrder::Restart),
        Raid5Layout::LeftSymmetric => (Rotation::Down, DataOrder::Continue),
        Raid5Layout::RightSymmetric => (Rotation::Up, DataOrder::Continue),
        Raid5Layout::ParityFirst => (Rotation::First, DataOrder::Restart),
        Raid5Layout::ParityLast => (Rotation::Last, DataOrder::Restart),
    }
}

/// The slot behind `slot`, around.
#[inline]
const fn after(slot: u16, around: u16) -> u16 {
    let next = slot.saturating_add(1);
    if next >= around {
        0
    } else {
        next
    }
}

/// What a member holds in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The data chunk of this number in the row.
    Data(u16),
    /// The XOR of the data.
    P,
    /// The second syndrome.
    Q,
}

/// One step of the Q syndrome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyndromeBlock {
    /// The data of this member.
    Data(Slot),
    /// A block of zeroes (in DDF's order, the places of P and Q).
    Zero,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DataSlots {
    /// In slot order, stepping over one or two parities.
    Skipping { low: u16, high: Option<u16> },
    /// From `first` on, around `around` members.
    From { first: u16, around: u16 },
}

/// What each member holds in one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roles {
    members: u16,
    p: u16,
    q: Option<u16>,
    data: DataSlots,
    q_order: QOrder,
}

impl Roles {
    /// The member that holds P.
    #[inline]
    pub const fn p(&self) -> Slot {
        Slot::new(self.p)
    }

    /// The member that holds Q; `None` but in raid6.
    #[inline]
    pub fn q(&self) -> Option<Slot> {
        self.q.map(Slot::new)
    }

    /// The member that holds data chunk number `index` of the row.
    #[inline]
    pub(super) fn data_slot(&self, index: u16) -> Slot {
        Slot::new(match self.data {
            DataSlots::Skipping { low, high } => {
                let slot = index.saturating_add(u16::from(index >= low));
                let skip = high.is_some_and(|high| slot >= high);
                slot.saturating_add(u16::from(skip))
            }
            DataSlots::From { first, around } => {
                match index.checked_sub(around.saturating_sub(first)) {
                    Some(wrapped) => wrapped,
                    None => first.saturating_add(index),
                }
            }
        })
    }

    /// What `slot` holds; `None` when it is not in the array.
    #[inline]
    pub fn role(&self, slot: Slot) -> Option<Role> {
        let slot = slot.get();
        if slot >= self.members {
            return None;
        }
        if slot == self.p {
            return Some(Role::P);
        }
        if Some(slot) == self.q {
            return Some(Role::Q);
        }
        Some(Role::Data(match self.data {
            DataSlots::Skipping { low, high } => {
                let below = u16::from(slot > low)
                    .saturating_add(u16::from(high.is_some_and(|high| slot > high)));
                slot.saturating_sub(below)
            }
            DataSlots::From { first, around } => match slot.checked_sub(first) {
                Some(index) => index,
                None => slot.saturating_add(around.saturating_sub(first)),
            },
        }))
    }

    /// The slots that hold data, in the order of the array's sectors.
    pub fn data_slots(&self) -> impl Iterator<Item = Slot> + '_ {
        let parities = 1u16.saturating_add(u16::from(self.q.is_some()));
        (0..self.members.saturating_sub(parities)).map(|index| self.data_slot(index))
    }

    /// The exponent of the generator with which the data of `slot` enters Q: `Q = sum(2^exponent * data)` over
    /// GF(2^8) with the polynomial 0x11d. `None` where `slot` holds no data.
    pub fn exponent(&self, slot: Slot) -> Option<u16> {
        match self.role(slot)? {
            Role::P | Role::Q => None,
            Role::Data(_) => Some(match self.q_order {
                QOrder::BySlot => slot.get(),
                QOrder::BehindQ => {
                    let place = self.behind_q(slot.get());
                    place.saturating_sub(u16::from(self.behind_q(self.p) < place))
                }
            }),
        }
    }

    /// The blocks that enter Q, beginning with exponent 0: the order in which `lib/raid/raid6` wants its pointers.
    pub fn syndrome_blocks(&self) -> impl Iterator<Item = SyndromeBlock> + '_ {
        let first = match self.q_order {
            QOrder::BySlot => 0,
            QOrder::BehindQ => self.q.map_or(0, |q| after(q, self.members)),
        };
        (0..self.members).filter_map(move |step| {
            let slot = Slot::new(around(first, step, self.members));
            match (self.role(slot)?, self.q_order) {
                (Role::Data(_), _) => Some(SyndromeBlock::Data(slot)),
                (_, QOrder::BySlot) => Some(SyndromeBlock::Zero),
                (_, QOrder::BehindQ) => None,
            }
        })
    }

    /// How many steps behind the member after Q `slot` comes.
    fn behind_q(&self, slot: u16) -> u16 {
        let first = self.q.map_or(0, |q| after(q, self.members));
        match slot.checked_sub(first) {
            Some(place) => place,
            None => slot.saturating_add(self.members.saturating_sub(first)),
        }
    }
}

/// `first + step` around `members`; both are below it.
const fn around(first: u16, step: u16, members: u16) -> u16 {
    match step.checked_sub(members.saturating_sub(first)) {
        Some(wrapped) => wrapped,
        None => first.saturating_add(step),
    }
}
