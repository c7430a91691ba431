// SPDX-License-Identifier: GPL-2.0

//! Benchmarks of `md_core`, in `benches/`; there is nothing here.
