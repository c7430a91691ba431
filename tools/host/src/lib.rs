// SPDX-License-Identifier: GPL-2.0

//! Test support shared by the property tests in `tests/`.
