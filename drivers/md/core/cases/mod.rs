// SPDX-License-Identifier: GPL-2.0

//! Tables of cases walked by two runners: `cargo test` on a host and KUnit inside a kernel.
//!
//! A case returns its verdict instead of asserting, because inside a kernel only an assertion in the body of a KUnit
//! test is caught; any other panic takes the machine down.

use core::fmt;

pub mod assemble;
pub mod bitmap;
pub mod format;
pub mod gf256;
pub mod layout;
pub mod mirror;
pub mod policy;
pub mod state;
pub mod words;

/// Why a case failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What was expected, in words.
    pub what: &'static str,
    /// The input at which it did not hold (a row of the table, a sector, an encoded state).
    pub at: u64,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (at {:#x})", self.what, self.at)
    }
}

/// The verdict of one case.
pub type Verdict = Result<(), Failure>;

/// One named case. It must be cheap: KUnit runs it under KASAN in an emulated machine.
#[derive(Clone, Copy)]
pub struct Case {
    /// Unique within its suite, `snake_case`.
    pub name: &'static str,
    /// Runs the case. Needs no lock and may not sleep; at most 1 KiB of stack.
    pub run: fn() -> Verdict,
}

/// The cases of one area.
#[derive(Clone, Copy)]
pub struct Suite {
    /// `snake_case`, the module it tests.
    pub name: &'static str,
    /// Its cases, never empty.
    pub cases: &'static [Case],
}

/// Ends a case with `what` at input `at` unless `condition` holds.
#[inline]
pub fn ensure(condition: bool, what: &'static str, at: u64) -> Verdict {
    if condition {
        Ok(())
    } else {
        Err(Failure { what, at })
    }
}

/// Every suite there is; both runners walk this list.
pub static SUITES: &[Suite] = &[
    assemble::SUITE,
    bitmap::SUITE,
    format::SUITE,
    gf256::SUITE,
    layout::SUITE,
    mirror::SUITE,
    policy::SUITE,
    state::SUITE,
    words::SUITE,
];
