// SPDX-License-Identifier: GPL-2.0

//! The program on golden and on crafted images: what it prints and how it exits.

mod findings;

use std::{
    fs,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

use golden::Case;

/// Runs `mdsb` with these arguments.
fn mdsb(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mdsb"));
    command.args(args).output().expect("mdsb runs")
}

/// Its output, when it exits with `status`.
fn output(args: &[&str], status: i32) -> String {
    let run = mdsb(args);
    let (out, err) = (
        String::from_utf8_lossy(&run.stdout),
        String::from_utf8_lossy(&run.stderr),
    );
    assert_eq!(run.status.code(), Some(status), "{args:?}: {out}{err}");
    out.into_owned()
}

/// The one line it prints when it cannot do its work.
fn complaint(args: &[&str]) -> String {
    let run = mdsb(args);
    assert_eq!(run.status.code(), Some(2), "{args:?}: {run:?}");
    let line = String::from_utf8(run.stderr).expect("text");
    assert!(
        line.starts_with("mdsb: ") && line.trim_end().lines().count() == 1,
        "{line}"
    );
    line
}

/// A directory for one test.
fn scratch(test: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).expect("a directory");
    dir
}

fn cases() -> &'static [Case] {
    static CASES: OnceLock<Vec<Case>> = OnceLock::new();
    CASES.get_or_init(|| golden::unpack(&scratch("images")).expect("the golden images"))
}

fn image(case: &str, member: usize) -> &'static str {
    let case = cases()
        .iter()
        .find(|known| known.name == case)
        .expect("a case");
    case.members[member].image.to_str().expect("a path")
}

/// Makes an image from `spec` and gives its path.
fn craft(test: &str, spec: &str) -> String {
    let dir = scratch(test);
    let (toml, out) = (dir.join("spec.toml"), dir.join("image"));
    fs::write(&toml, spec).expect("a description");
    output(
        &[
            "craft",
            toml.to_str().expect("a path"),
            out.to_str().expect("a path"),
        ],
        0,
    );
    out.to_str().expect("a path").to_owned()
}

/// The names of what `check` finds.
fn findings(image: &str) -> Vec<String> {
    let run = mdsb(&["check", "--json", image]);
    let list: serde_json::Value = serde_json::from_slice(&run.stdout).expect("JSON");
    let list = list.as_array().expect("a list").iter();
    let names: Vec<String> = list
        .map(|f| f["name"].as_str().expect("a name").to_owned())
        .collect();
    assert_eq!(run.status.code(), Some(i32::from(!names.is_empty())));
    names
}

fn json(image: &str) -> serde_json::Value {
    serde_json::from_str(&output(&["show", "--json", image], 0)).expect("JSON")
}

const PLAIN: &str = r#"
sectors = 65536
[superblock]
version = "1.2"
level = "raid1"
raid_disks = 2
events = 7
name = "host:x"
uuid = "00112233445566778899aabbccddeeff"
"#;

#[test]
fn every_golden_member_shows() {
    for case in cases() {
        for member in &case.members {
            let path = member.image.to_str().expect("a path");
            let text = output(&["show", path], 0);
            assert!(text.contains("raid disks"), "{text}");
            let tree = json(path);
            assert_eq!(
                tree["device"]["length_sectors"].as_u64().map(|n| n * 512),
                Some(member.image.metadata().expect("a file").len())
            );
        }
    }
}

#[test]
fn golden_members_are_clean_but_for_what_is_known() {
    for case in cases() {
        for (number, member) in case.members.iter().enumerate() {
            // 0.90 has no bad-block log.
            let lockless = case.name.contains("lockless") && !case.name.contains("0.90");
            // A spare is given no bitmap, yet its superblock says that there is one.
            let spare = case.name == "spares" && number >= 3;
            let expected: &[&str] = match (lockless, spare) {
                (true, _) => &["bad-block-log-in-lockless-bitmap"],
                (_, true) => &["bitmap-stale"],
                _ => &[],
            };
            let path = member.image.to_str().expect("a path");
            assert_eq!(findings(path), expected, "{}/{number}", case.name);
        }
    }
}

#[test]
fn show_says_what_mdadm_says() {
    let tree = json(image("bad-blocks", 1));
    assert_eq!(
        tree["superblock"]["uuid"],
        "a1b2c3d4:e5f60718:293a4b5c:6d7e8f90"
    );
    assert_eq!(tree["superblock"]["name"], "host:bad-blocks");
    assert_eq!(tree["bad_blocks"]["ranges"][1]["sector"], 7777);
    assert_eq!(tree["bad_blocks"]["ranges"][1]["length_sectors"], 5);
    let old = json(image("reshape-0.91", 0));
    assert_eq!(
        old["superblock"]["uuid"],
        "a1b2c3d4:e5f60718:293a4b5c:6d7e8f90"
    );
    assert_eq!(old["superblock"]["array"]["reshape"]["delta_disks"], 1);
    let dirty = json(image("dirty-0.90-internal", 0));
    assert_eq!(dirty["superblock"]["array"]["in_sync"], false);
    assert_eq!(dirty["superblock"]["roles"][3]["state"][0], "spare");
    let backwards = json(image("reshape-backwards", 0));
    let reshape = &backwards["superblock"]["array"]["reshape"];
    assert_eq!(
        (&reshape["direction"], &reshape["new_layout"]),
        (&"backwards".into(), &"right-asymmetric".into())
    );
    assert_eq!(
        json(image("raid10-far", 0))["superblock"]["array"]["layout"],
        "far=2"
    );
    assert_eq!(
        json(image("journal", 3))["journal"]["block_at_tail"],
        "valid"
    );
    assert_eq!(json(image("ppl", 0))["ppl"]["header"], "valid");
}

#[test]
fn bitmaps_are_counted_and_drawn() {
    let text = output(&["bitmap", image("degraded-1.2-lockless", 0)], 0);
    let map = text
        .lines()
        .find(|line| line.starts_with("  0  "))
        .expect("a row of the map");
    assert_eq!(map.len(), 5 + 64);
    assert_eq!(map.chars().nth(5 + 48), Some('N'), "{map}");
    assert!(!text.contains('\x1b'), "colour without a terminal");
    let file = scratch("svg").join("map.svg");
    let svg = file.to_str().expect("a path");
    let classic = output(
        &[
            "bitmap",
            "--json",
            "--svg",
            svg,
            image("degraded-1.2-internal", 0),
        ],
        0,
    );
    let classic: serde_json::Value = serde_json::from_str(&classic).expect("JSON");
    assert_eq!(
        (&classic["chunks"], &classic["states"]["dirty"]),
        (&304.into(), &4.into())
    );
    let svg = fs::read_to_string(file).expect("a drawing");
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    assert_eq!(svg.matches("<title>").count(), 304);
    assert!(svg.contains("dirty: 4 (1.3 %)"));
    assert!(
        complaint(&["bitmap", image("1.2-raid1-none", 0)]).contains("the superblock names none")
    );
}

#[test]
fn members_of_an_array_differ_in_what_is_theirs() {
    let (a, b) = (
        image("1.2-raid1-internal", 0),
        image("1.2-raid1-internal", 1),
    );
    assert_eq!(output(&["diff", a, a], 0), "");
    let text = output(&["diff", a, b], 1);
    let fields: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let theirs = ["checksum", "device_uuid", "member.role", "number"]
        .map(|field| format!("superblock.{field}"));
    assert_eq!(fields, theirs);
}

#[test]
fn what_is_not_md_is_said_in_one_line() {
    let dir = scratch("errors");
    let file = |name: &str, bytes: u64| {
        let path = dir.join(name);
        fs::File::create(&path)
            .and_then(|file| file.set_len(bytes))
            .expect("a file");
        path.to_str().expect("a path").to_owned()
    };
    let empty = file("empty", 1 << 20);
    for command in ["show", "check", "bitmap"] {
        assert!(complaint(&[command, &empty]).contains("no md member"));
        assert!(complaint(&[command, "/nowhere/at/all"]).contains("No such file"));
        assert!(complaint(&[command, "/dev/null"]).contains("neither a block device nor a file"));
        assert!(complaint(&[command, &file("short", 1000)]).contains("truncated"));
    }
    let cut = dir.join("cut");
    fs::copy(image("1.2-raid5-internal", 0), &cut).expect("a copy");
    // In the data, and before the bad-block log.
    for length in [512 << 10, 8 << 10] {
        let file = fs::OpenOptions::new().write(true).open(&cut);
        file.and_then(|file| file.set_len(length)).expect("cut");
        let cut = cut.to_str().expect("a path");
        assert!(complaint(&["show", cut]).contains("cut short"));
        assert_eq!(findings(cut), ["superblock-refused"]);
    }
}

#[test]
fn a_pipe_is_not_waited_for() {
    let pipe = scratch("pipe").join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().expect("mkfifo");
    assert!(made.success());
    let pipe = pipe.to_str().expect("a path");
    assert!(complaint(&["show", pipe]).contains("neither a block device nor a file"));
}

#[test]
fn crafted_members_say_what_was_asked_for() {
    let path = craft("plain", PLAIN);
    let tree = json(&path);
    let sb = &tree["superblock"];
    assert_eq!(
        (&sb["name"], &sb["array"]["level"]),
        (&"host:x".into(), &"raid1".into())
    );
    assert_eq!(sb["array"]["member_size_sectors"], 65536 - 2048);
    assert_eq!(findings(&path), [""; 0]);
    let dir = scratch("again");
    let spec = dir.join("spec.toml");
    fs::write(&spec, PLAIN).expect("a description");
    assert!(complaint(&["craft", spec.to_str().expect("a path"), &path]).contains("File exists"));
    fs::write(&spec, PLAIN.replace("events", "evnets")).expect("a description");
    let run = mdsb(&["craft", spec.to_str().expect("a path"), "/nowhere/x"]);
    assert_eq!(run.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&run.stderr).contains("evnets"));
}

#[test]
fn what_cannot_be_crafted_leaves_no_file() {
    let dir = scratch("too-large");
    let spec = dir.join("spec.toml");
    fs::write(&spec, PLAIN.replace("65536", "1152921504606846976")).expect("a description");
    let out = dir.join("image");
    let (spec, path) = (
        spec.to_str().expect("a path"),
        out.to_str().expect("a path"),
    );
    assert!(complaint(&["craft", spec, path]).contains("cannot write"));
    assert!(!out.exists());
}

#[test]
fn every_version_can_be_crafted() {
    for version in ["0.90", "1.0", "1.1", "1.2"] {
        let path = craft(
            &format!("version-{version}"),
            &PLAIN.replace("\"1.2\"", &format!("\"{version}\"")),
        );
        assert_eq!(json(&path)["superblock"]["version"], version);
        assert_eq!(findings(&path), [""; 0], "{version}");
    }
}

/// A bitmap of more than a GiB, most of it a hole.
#[test]
fn what_is_too_long_to_be_read_is_said() {
    let spec = "sectors = 17179869184\n[superblock]\nversion = \"1.2\"\nlevel = \"raid1\"\nraid_disks = 2\n\
        data_offset = 8388608\nmember_size = 17171480576\n[bitmap]\nkind = \"classic\"\noffset = 8\n\
        chunk = 2048\n";
    let image = craft("long-bitmap", spec);
    assert_eq!(findings(&image), [""; 0]);
    // A chunk of one sector in the superblock of the bitmap, at sector 16.
    let file = fs::OpenOptions::new().write(true).open(&image);
    file.and_then(|file| file.write_all_at(&512_u32.to_le_bytes(), 16 * 512 + 52))
        .expect("written");
    assert_eq!(findings(&image), ["bitmap-unread"]);
    let line = complaint(&["bitmap", &image]);
    assert!(
        line.contains("more than the 1073741824 that are read"),
        "{line}"
    );
    assert_eq!(json(&image)["bitmap"]["chunk_sectors"], 1);
}

#[test]
fn an_unreadable_bitmap_is_shown_as_such() {
    let spec = format!(
        "{PLAIN}{}[[damage]]\nat_byte = 8192\nbytes = \"00\"",
        findings::BITMAP
    );
    let tree = json(&craft("unreadable-bitmap", &spec));
    assert_eq!(tree["bitmap"]["at_sector"], 16);
    let why = tree["bitmap"]["unreadable"].as_str().expect("a reason");
    assert!(why.contains("magic"), "{why}");
}

#[test]
fn a_name_does_not_command_the_terminal() {
    let spec = PLAIN.replace("host:x", "\\u001b[31mred");
    let image = craft("escape", &spec);
    let text = output(&["show", &image], 0);
    assert!(
        !text.contains('\x1b') && text.contains("\\u{1b}[31mred"),
        "{text}"
    );
    assert_eq!(json(&image)["superblock"]["name"], "\x1b[31mred");
    let other = craft("escape-other", PLAIN);
    let text = output(&["diff", &image, &other], 1);
    assert!(
        !text.contains('\x1b') && text.contains("\\u{1b}[31mred"),
        "{text}"
    );
    let line = complaint(&["show", "/nowhere/\x1b[31m"]);
    assert!(!line.contains('\x1b'), "{line}");
}

#[test]
fn a_drawing_replaces_nothing_by_itself() {
    let member = image("degraded-1.2-internal", 0);
    let dir = scratch("svg-there");
    let path = |name: &str| dir.join(name).to_str().expect("a path").to_owned();
    let file = path("map.svg");
    let plain = ["bitmap", "--svg", &file, member];
    let forced = ["bitmap", "--force", "--svg", &file, member];
    output(&plain, 0);
    fs::write(&file, "mine").expect("written");
    assert!(complaint(&plain).contains("--force replaces it"));
    assert_eq!(fs::read_to_string(&file).expect("a file"), "mine");
    output(&forced, 0);
    assert!(fs::read_to_string(&file)
        .expect("a file")
        .starts_with("<svg "));
    // A device is never written to, nor is whatever a link leads to.
    let link = path("link");
    std::os::unix::fs::symlink(&file, &link).expect("a link");
    for other in ["/dev/null", &link, dir.to_str().expect("a path")] {
        let line = complaint(&["bitmap", "--force", "--svg", other, member]);
        assert!(line.contains("no regular file"), "{line}");
    }
}

#[test]
fn the_newest_partial_parity_log_is_shown() {
    let spec = PLAIN.replace("raid1\"", "raid5\"\nchunk = 128\nlayout = 2");
    let spec = format!(
        "{spec}[ppl]\noffset = 16\nsectors = 1024\nring = true\nheaders = [\
         {{ generation = 7, parity = 8 }}, {{ at = 16, generation = 8, parity = 16 }},\
         {{ at = 40, generation = 5, parity = 8 }}]"
    );
    let image = craft("ppl-ring", &spec);
    assert_eq!(findings(&image), [""; 0]);
    let ppl = &json(&image)["ppl"];
    assert_eq!(
        (&ppl["ring"], &ppl["header"]),
        (&true.into(), &"valid".into())
    );
    assert_eq!(
        (&ppl["generation"], &ppl["header_at_sector"]),
        (&8.into(), &40.into())
    );
    assert_eq!(ppl["writes"][0]["parity_length_sectors"], 16);
}

#[test]
fn a_second_superblock_is_named() {
    let path = craft("second", PLAIN);
    let other = craft("second-0.90", &PLAIN.replace("\"1.2\"", "\"0.90\""));
    let superblock = fs::read(other).expect("an image");
    let mut image = fs::read(&path).expect("an image");
    let at = (65536 - 128) * 512;
    image[at..at + 4096].copy_from_slice(&superblock[at..at + 4096]);
    fs::write(&path, image).expect("written");
    assert!(findings(&path).contains(&"second-superblock".to_owned()));
}
