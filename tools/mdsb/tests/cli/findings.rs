// SPDX-License-Identifier: GPL-2.0

//! Each name that `check` can print, on a crafted image where that and nothing else is wrong.

use std::collections::BTreeSet;

use super::{craft, findings, json, output, PLAIN};

/// What is wrong, and a description of it.
type Inconsistency = (&'static str, String);

pub const BITMAP: &str = "[bitmap]\nkind = \"classic\"\noffset = 8\nchunk = 128\n";
const LOCKLESS: &str = "[bitmap]\nkind = \"lockless\"\noffset = 8\nchunk = 64\n";
const LOG: &str = "[bad_blocks]\noffset = 1000\n";

fn of_bitmaps() -> Vec<Inconsistency> {
    vec![
        ("bitmap-stale", format!("{PLAIN}{BITMAP}events = 6")),
        // It says so itself.
        (
            "bitmap-stale",
            format!("{PLAIN}{BITMAP}[[damage]]\nat_byte = 8240\nbytes = \"02\""),
        ),
        (
            "bitmap-write-error",
            format!("{PLAIN}{BITMAP}[[damage]]\nat_byte = 8240\nbytes = \"04\""),
        ),
        (
            "bitmap-too-long",
            format!("{PLAIN}{}reserved = 1", BITMAP.replace("128", "1")),
        ),
        ("bitmap-reserve", format!("{PLAIN}{BITMAP}reserved = 2033")),
        (
            "bitmap-reserve",
            format!("{PLAIN}{LOCKLESS}reserved = 2033"),
        ),
        (
            "bitmap-events-cleared",
            format!("{PLAIN}{BITMAP}events_cleared = 8"),
        ),
        (
            "bitmap-sync-size",
            format!("{PLAIN}{BITMAP}sync_size = 1000"),
        ),
        (
            "bitmap-refused",
            format!("{PLAIN}{BITMAP}[[damage]]\nat_byte = 8192\nbytes = \"00\""),
        ),
        (
            "bitmap-uuid",
            format!("{PLAIN}{BITMAP}[[damage]]\nat_byte = 8200\nbytes = \"55\""),
        ),
        ("bitmap-too-long", format!("{PLAIN}{LOCKLESS}reserved = 3")),
        (
            "bitmap-unknown-cells",
            format!("{PLAIN}{LOCKLESS}reserved = 16\ncells = [{{state = \"unknown\", from = 3}}]"),
        ),
        (
            "bitmap-off-device",
            format!(
                "{PLAIN}data_size = 60000\n[bitmap]\nkind = \"classic\"\noffset = 65527\nchunk = 1\n"
            ),
        ),
        (
            "bad-block-log-in-lockless-bitmap",
            format!("{PLAIN}{LOCKLESS}reserved = 256\n[bad_blocks]\noffset = 16\n"),
        ),
    ]
}

fn of_places() -> Vec<Inconsistency> {
    vec![
        (
            "areas-collide",
            format!("{PLAIN}{}", BITMAP.replace("= 8\n", "= 3000\n")),
        ),
        (
            "areas-collide",
            // Only its own superblock tells that the bitmap reaches into the data.
            format!(
                "{PLAIN}{}",
                BITMAP.replace("= 8\n", "= 2039\n").replace("128", "8")
            ),
        ),
        (
            "data-too-short",
            format!("{PLAIN}member_size = 65000\ndata_size = 60000"),
        ),
        (
            "bad-block-log-misplaced",
            format!("{PLAIN}{}", LOG.replace("1000", "3000")),
        ),
        (
            "bad-block-off-device",
            format!("{PLAIN}{LOG}ranges = [[70000, 8]]"),
        ),
        (
            "bad-block-entry",
            format!(
                "{PLAIN}{LOG}ranges = [[3000, 8]]\n[[damage]]\nat_byte = 516096\nbytes = \"0000\""
            ),
        ),
        (
            "resync-beyond-members",
            format!("{PLAIN}in_sync_upto = 70000"),
        ),
        (
            "recovery-beyond-member",
            format!("{PLAIN}recovered = 70000"),
        ),
        (
            "superblock-refused",
            format!("{PLAIN}[superblock.reshape]\nposition = 130000"),
        ),
        (
            "superblock-refused",
            format!("{PLAIN}[[damage]]\nat_byte = 4300\nbytes = \"01\""),
        ),
    ]
}

fn of_arrays() -> Vec<Inconsistency> {
    let raid5 = |more: &str| PLAIN.replace("raid1\"", &format!("raid5\"\n{more}"));
    let old = PLAIN.replace("1.2", "0.90");
    let damaged = |at: u64, bytes: &str| {
        format!(
            "{old}[[damage]]\nat_byte = {}\nbytes = \"{bytes}\"\nsummed = true",
            OLD + at
        )
    };
    vec![
        ("level-unsupported", PLAIN.replace("raid1", "-4")),
        (
            "level-unsupported",
            raid5("chunk = 128\nlayout = 2") + RESHAPE + "new_level = \"-4\"",
        ),
        ("slot-beyond-array", format!("{PLAIN}roles = [2, 1]")),
        ("slot-beyond-array", format!("{PLAIN}roles = [0, 2]")),
        ("slot-beyond-array", damaged(652, "07")),
        ("slot-crowded", damaged(652, "00")),
        ("slot-crowded", format!("{PLAIN}roles = [0, 1, 1, 1]")),
        ("number-beyond-table", format!("{PLAIN}number = 2")),
        ("role-reserved", format!("{PLAIN}roles = [0, 1, 65300]")),
        // The second descriptor says that it is the third; one device too many is counted.
        ("descriptor-number", damaged(640, "02")),
        ("device-count", damaged(36, "03")),
        // So is one that is active, one that works, one that is spare.
        ("device-count", damaged(136, "03")),
        ("device-count", damaged(140, "03")),
        ("device-count", damaged(148, "01")),
        // The state in the descriptor of its own, outside of the table.
        ("descriptor-own", damaged(3984, "00")),
        ("chunk-missing", PLAIN.replace("raid1", "raid5")),
        ("layout-unknown", raid5("chunk = 128\nlayout = 77")),
        (
            "layout-unknown",
            raid5("chunk = 128\nlayout = 3").replace("raid5", "raid0"),
        ),
        (
            "journal-crowded",
            raid5("chunk = 128\nlayout = 2\nroles = [0, 1, \"journal\", \"journal\"]"),
        ),
        ("chunk-size", raid5("chunk = 24\nlayout = 2")),
    ]
}

const RESHAPE: &str = "[superblock.reshape]\nposition = 1024\n";

/// Where a 0.90 superblock begins on the member of [`PLAIN`], in bytes.
const OLD: u64 = (65_536 - 128) * 512;

fn of_geometries() -> Vec<Inconsistency> {
    let array = |level: &str, slots: u16, layout: u32| {
        let shape = format!("{level}\"\nchunk = 128\nlayout = {layout}");
        let spec = PLAIN.replace("raid1\"", &shape);
        spec.replace("raid_disks = 2", &format!("raid_disks = {slots}"))
    };
    vec![
        ("geometry-impossible", array("raid6", 3, 2)),
        ("geometry-impossible", array("raid5", 1, 2)),
        ("geometry-impossible", array("raid10", 2, 0x103)),
        // Two near copies in far sets of two members: a far copy comes to the member of another copy.
        ("geometry-impossible", array("raid10", 5, 0x2_0202)),
        (
            "geometry-impossible",
            array("raid5", 4, 2).replace("128", "4"),
        ),
        (
            "geometry-impossible",
            format!("{}{RESHAPE}new_level = \"raid6\"", array("raid5", 3, 2)),
        ),
        ("geometry-impossible", format!("{PLAIN}member_size = 0")),
        // The members have 63488 sectors for data.
        (
            "geometry-impossible",
            array("raid5", 3, 2).replace("128", "65536"),
        ),
        (
            "geometry-impossible",
            array("raid0", 3, 1).replace("128", "65536"),
        ),
    ]
}

fn of_logs() -> Vec<Inconsistency> {
    let ppl = |sectors: u16, headers: &str| {
        let spec = PLAIN.replace("raid1\"", "raid5\"\nchunk = 128\nlayout = 2");
        format!("{spec}[ppl]\noffset = 16\nsectors = {sectors}\nheaders = [{headers}]\n")
    };
    let journal = |more: &str| format!("{JOURNAL}{more}");
    vec![
        ("ppl-missing", ppl(0, "")),
        ("ppl-missing", ppl(7, "")),
        ("ppl-missing", ppl(15, "{}")),
        ("ppl-header", ppl(1024, "")),
        ("ppl-header", ppl(32, "{ parity = 32 }")),
        ("ppl-signature", ppl(1024, "{ signature = 7 }")),
        ("journal-tail", journal("")),
        // Drivers then begin at the start.
        ("journal-tail", journal("[journal]\ntail = 70000\nat = 0")),
        ("journal-tail", journal("[journal]\ntail = 17\nat = 0")),
        (
            "journal-position",
            journal("[journal]\ntail = 16\nposition = 8"),
        ),
    ]
}

/// The journal of a raid5.
const JOURNAL: &str = r#"
sectors = 65536
[superblock]
version = "1.2"
level = "raid5"
chunk = 128
layout = 2
raid_disks = 2
events = 7
roles = [0, 1, "journal"]
number = 2
"#;

fn of_features() -> Vec<Inconsistency> {
    let with = |spec: &str, features: u32| {
        let bytes = features.swap_bytes();
        format!("{spec}[[damage]]\nat_byte = 4104\nbytes = \"{bytes:08x}\"\nsummed = true")
    };
    let level =
        |level: &str| PLAIN.replace("raid1\"", &format!("{level}\"\nchunk = 128\nlayout = 1"));
    let ppl = "[ppl]\noffset = 16\nsectors = 1024\nheaders = [{ generation = 1, parity = 8 }]";
    let reshaping = format!(
        "{}{RESHAPE}",
        JOURNAL.replace("[0, 1, \"journal\"]", "[0, 1, 2]")
    )
    .replace("number = 2", "number = 1")
    .replace("raid_disks = 2", "raid_disks = 3");
    let nowhere = "\n[[damage]]\nat_byte = 4200\nbytes = \"ffffffffffffffff\"\nsummed = true";
    vec![
        // A bitmap, without an offset.
        ("feature-void", with(PLAIN, 1)),
        // A recovery of a spare; one by the bitmap that is none.
        (
            "feature-void",
            with(&format!("{PLAIN}roles = [\"spare\", 1]\n"), 2),
        ),
        ("feature-void", with(PLAIN, 128)),
        // What only a reshape has, and a reshape at no position.
        ("feature-void", with(PLAIN, 32)),
        ("feature-void", with(PLAIN, 64)),
        ("feature-void", format!("{reshaping}{nowhere}")),
        ("feature-void", with(PLAIN, 256)),
        (
            "log-without-use",
            format!("{}{BITMAP}sync_size = 63488", level("raid0")),
        ),
        (
            "log-without-use",
            format!("{}{BITMAP}sync_size = 63488", level("linear")),
        ),
        ("log-without-use", format!("{PLAIN}{ppl}")),
        (
            "log-without-use",
            format!("{PLAIN}roles = [0, 1, \"journal\"]"),
        ),
        // A journal does what a bitmap would.
        (
            "log-without-use",
            format!("{}{BITMAP}", JOURNAL.replace("number = 2", "number = 0")),
        ),
    ]
}

fn inconsistencies() -> Vec<Inconsistency> {
    [
        of_bitmaps(),
        of_places(),
        of_arrays(),
        of_geometries(),
        of_logs(),
        of_features(),
    ]
    .concat()
}

#[test]
fn each_inconsistency_is_named() {
    let mut tested = BTreeSet::new();
    for (number, (name, spec)) in inconsistencies().into_iter().enumerate() {
        let image = craft(&format!("finding-{number}"), &spec);
        assert_eq!(findings(&image), [name], "{spec}");
        // Who looks at it sees the rest of what it says.
        if name != "superblock-refused" {
            output(&["show", &image], 0);
        }
        tested.insert(name);
    }
    // Every name that the documentation has is found by one of these, or by a test of its own.
    let documented: BTreeSet<&str> = include_str!("../../README.md")
        .lines()
        .skip_while(|line| *line != "| name | what |")
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .flat_map(|line| line.split('|').nth(1).expect("a column").split(','))
        .map(|name| name.trim().trim_matches('`'))
        .collect();
    tested.extend(["second-superblock", "bitmap-unread"]);
    assert_eq!(documented, tested);
}

#[test]
fn what_is_wrong_in_one_place_hides_nothing_elsewhere() {
    let spec = format!("{JOURNAL}in_sync_upto = 70000\n[journal]\ntail = 9\nat = 8");
    let journal = craft("two-findings", &spec);
    // No block begins at sector 9, and none lies at the start either.
    assert_eq!(
        findings(&journal),
        ["resync-beyond-members", "journal-tail", "journal-tail"]
    );
    let tree = json(&journal);
    assert_eq!(tree["superblock"]["stored"]["journal_tail_sector"], 9);
    assert_eq!(tree["superblock"]["stored"]["in_sync_upto_sector"], 70000);
    assert_eq!(tree["journal"]["tail_sector"], 0);
    let overlapping = format!(
        "{PLAIN}{}events = 6\n{LOG}",
        BITMAP.replace("= 8\n", "= 3000\n")
    );
    let overlapping = craft("overlap-and-stale", &overlapping);
    assert_eq!(findings(&overlapping), ["bitmap-stale", "areas-collide"]);
    let tree = json(&overlapping);
    assert_eq!(tree["bitmap"]["events"], 6);
    assert_eq!(tree["bad_blocks"]["use"], "no, data and bitmap overlap");
}
