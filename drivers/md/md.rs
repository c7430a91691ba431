// SPDX-License-Identifier: GPL-2.0

//! The md (software RAID) driver.
//!
//! Layers, each calling only downwards: [`control`] (ioctls, sysfs, `/proc/mdstat`, module parameters) parses what user
//! space says; [`mod@array`] owns what an array is and does; [`personality`] and [`bitmap`] know one RAID level or one
//! kind of write-intent bitmap each. Decisions are taken by the pure crate `md_core`, everything unsafe is in
//! `kernel_ext`.

#![deny(unsafe_code)]

mod array;
mod bitmap;
mod control;
mod driver;
mod error;
mod log;
mod member;
mod personality;
mod sync;

use kernel::prelude::*;

module! {
    type: driver::Module,
    name: "md_mod",
    authors: ["The rmd authors"],
    description: "MD (software RAID) in Rust",
    license: "GPL",
    alias: [
        "md",
        "block-major-9-*",
        "md-level--1", "md-linear", "md-personality-1",
        "md-level-0", "md-raid0", "md-personality-2",
        "md-level-1", "md-raid1", "md-personality-3",
        "md-level-4", "md-raid4", "md-personality-4",
        "md-level-5", "md-raid5", "md-level-6", "md-raid6", "md-personality-8",
        "md-level-10", "md-raid10", "md-personality-9",
    ],
}

kernel_ext::module_params! {
    start_ro: "int", 0o600, control::params::START_RO,
        "Arrays start read-only until the first write";
    start_dirty_degraded: "int", 0o644, control::params::START_DIRTY_DEGRADED,
        "Start parity arrays that are both dirty and degraded";
    new_array: "string", 0o200, control::params::NEW_ARRAY,
        "Create an array: mdN or md_NAME";
    create_on_open: "bool", 0o600, control::params::CREATE_ON_OPEN,
        "Opening a node creates its array";
    legacy_async_del_gendisk: "bool", 0o600, control::params::LEGACY_ASYNC_DEL_GENDISK,
        "Stopping an array leaves its disk until the last close";
    default_layout: "int", 0o644, personality::DEFAULT_LAYOUT,
        "Layout of raid0 arrays with several zones that do not say: 1 original, 2 alternate";
    check_new_feature: "bool", 0o600, control::params::CHECK_NEW_FEATURE,
        "Refuse superblocks with unknown fields set";
}
