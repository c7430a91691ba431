// SPDX-License-Identifier: GPL-2.0

//! Walks the case tables that KUnit walks inside a kernel.

use md_core::cases::SUITES;

#[test]
fn every_case_of_every_suite_holds() {
    let mut ran = 0;
    for suite in SUITES {
        assert!(!suite.cases.is_empty(), "suite {} is empty", suite.name);
        for case in suite.cases {
            if let Err(failure) = (case.run)() {
                panic!("{}::{}: {failure}", suite.name, case.name);
            }
            ran += 1;
        }
    }
    assert!(ran > 0, "no case ran");
}
