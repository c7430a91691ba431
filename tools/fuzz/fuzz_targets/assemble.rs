// SPDX-License-Identifier: GPL-2.0

//! Assembly of up to four members with whatever superblocks. Input: device, then 320 bytes for each member.

#![no_main]

use fuzz::{block, device, number, pass_sb1};
use libfuzzer_sys::fuzz_target;
use md_core::{
    assemble::{
        elect, judge_returning, start, Candidate, DirtyDegraded, Member, Policy, Redundancy,
        SlotSet,
    },
    format::{
        sb1::{ArrayState, MinorVersion, Sb1, BLOCK_BYTES},
        NewFeatures,
    },
};

/// Bytes of a member in the input: the fixed part, and 32 roles.
const MEMBER_BYTES: usize = 320;

/// Enough is one member in sync.
struct AnyOne(ArrayState);

impl Redundancy for AnyOne {
    fn has_enough(&self, in_sync: &SlotSet) -> bool {
        in_sync.count_below(self.0.raid_disks) > 0
    }
}

fuzz_target!(|input: &[u8]| {
    let mut input = input;
    let device = device(number(&mut input));
    let blocks: Vec<[u8; BLOCK_BYTES]> = input
        .chunks(MEMBER_BYTES)
        .take(4)
        .map(|bytes| {
            let mut block = block::<BLOCK_BYTES>(bytes);
            pass_sb1(&mut block, MinorVersion::V1_2, device);
            block
        })
        .collect();
    let parsed = blocks
        .iter()
        .map(|block| Sb1::parse(block, MinorVersion::V1_2, device, NewFeatures::Ignore));
    let members: Vec<Sb1<'_>> = parsed.filter_map(Result::ok).collect();
    let mut candidates: Vec<Candidate> = members
        .iter()
        .map(|sb| Candidate::new(Member::of_sb1(sb)))
        .collect();
    let roles =
        |index: md_core::assemble::CandidateIndex, number| members.get(index.0)?.role_of(number);
    let Ok(freshest) = elect(&mut candidates, roles) else {
        return;
    };
    let array = candidates[freshest.0].member.array;
    for policy in [Policy::RefuseDirtyDegraded, Policy::StartDirtyDegraded] {
        if let Ok(plan) = start(&array, &candidates, &AnyOne(array), policy) {
            assert!(plan.degraded <= array.raid_disks);
            assert!(plan.degraded > 0 || plan.dirty_degraded == DirtyDegraded::No);
        }
    }
    for candidate in &candidates {
        let _ = judge_returning(&candidate.member, array.events, None);
    }
});
