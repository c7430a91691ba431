// SPDX-License-Identifier: GPL-2.0

//! The case tables of `md_core`.

use kernel::prelude::*;
use md_core::cases::{Suite, SUITES};

/// How many cases of `suite` fail; each is named in the log.
fn failures(suite: &Suite) -> usize {
    let failed = suite.cases.iter().filter(|case| match (case.run)() {
        Ok(()) => false,
        Err(failure) => {
            pr_err!(
                "{}: {}: {} (at {:#x})\n",
                suite.name,
                case.name,
                failure.what,
                failure.at
            );
            true
        }
    });
    failed.count()
}

#[kunit_tests(md_core)]
mod tests {
    use super::*;

    #[test]
    fn there_are_cases() {
        assert!(!SUITES.is_empty());
        assert!(SUITES.iter().all(|suite| !suite.cases.is_empty()));
    }

    #[test]
    fn all_cases_hold() {
        let mut cases = 0;
        for suite in SUITES {
            assert_eq!(failures(suite), 0);
            cases += suite.cases.len();
        }
        pr_info!("{} cases of md_core hold\n", cases);
    }
}
