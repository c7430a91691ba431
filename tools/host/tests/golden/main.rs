// SPDX-License-Identifier: GPL-2.0

//! Members that mdadm 4.6 and the C driver wrote (`tests/golden`): every one parses, every field that mdadm prints of
//! it agrees with ours, and what is written back is what was there.
//!
//! Each test renders what mdadm should have printed from our values, with mdadm's names, and compares the two maps: a
//! field of mdadm's that is not rendered is a failure too.

mod array;
mod bitmap;
mod listing;
mod sb0;
mod sb1;
mod size;
mod written;

use golden::Case;
use md_core::{
    format::{
        sb0::Sb0,
        sb1::{Device, Direction, MinorVersion, ResyncPoint, Sb1},
        BlockSize, NewFeatures,
    },
    units::{Sector, Sectors, SECTOR_SIZE},
};
use std::{
    fs::{self, File},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::OnceLock,
};

/// Every case, unpacked once.
fn cases() -> &'static [Case] {
    static CASES: OnceLock<Vec<Case>> = OnceLock::new();
    CASES.get_or_init(|| {
        let dir =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("golden-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("a directory for the images");
        golden::unpack(&dir).expect("the golden images")
    })
}

/// A member's image.
struct Image {
    /// Case and number, for messages.
    name: String,
    file: File,
    device: Device,
    listing: &'static golden::Member,
}

impl Image {
    fn open(case: &'static Case, number: usize) -> Self {
        let member = &case.members[number];
        let file = File::open(&member.image).expect("an image");
        let bytes = file.metadata().expect("its length").len();
        Self {
            name: format!("{}/{number}", case.name),
            file,
            device: Device {
                sectors: Sectors::from_bytes_exact(bytes).expect("whole sectors"),
                block: BlockSize::new(member.block).expect("a block size"),
            },
            listing: member,
        }
    }

    fn read(&self, at: Sector, bytes: usize) -> Vec<u8> {
        let mut buffer = vec![0; bytes];
        let start = at.get() * u64::from(SECTOR_SIZE);
        self.file
            .read_exact_at(&mut buffer, start)
            .expect("the image is whole");
        buffer
    }

    /// The version that the array was made with, from mdadm's listing.
    fn minor(&self) -> Option<MinorVersion> {
        let examined = self.listing.listing("mdadm --examine").expect("a listing");
        let line = examined
            .lines()
            .find_map(|line| line.trim().strip_prefix("Version : "));
        match line.expect("a version") {
            "1.0" => Some(MinorVersion::V1_0),
            "1.1" => Some(MinorVersion::V1_1),
            "1.2" => Some(MinorVersion::V1_2),
            old => {
                assert!(old.starts_with("0.9"), "{}: version {old}", self.name);
                None
            }
        }
    }

    /// The block of its superblock.
    fn superblock(&self) -> Vec<u8> {
        let at = match self.minor() {
            Some(minor) => minor.superblock(self.device.sectors),
            None => md_core::format::sb0::superblock(self.device.sectors),
        };
        self.read(at.expect("room for a superblock"), 4096)
    }

    fn sb1<'b>(&self, block: &'b [u8], minor: MinorVersion) -> Sb1<'b> {
        Sb1::parse(block, minor, self.device, NewFeatures::Refuse)
            .unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    fn sb0<'b>(&self, block: &'b [u8]) -> Sb0<'b> {
        Sb0::parse(block, self.device.sectors)
            .unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }
}

/// Every member of every case.
fn images() -> impl Iterator<Item = Image> {
    let members = cases()
        .iter()
        .flat_map(|case| (0..case.members.len()).map(move |number| (case, number)));
    members.map(|(case, number)| Image::open(case, number))
}

#[test]
fn every_version_level_and_bitmap_is_there() {
    let names: Vec<&str> = cases().iter().map(|case| case.name.as_str()).collect();
    for metadata in ["0.90", "1.0", "1.1", "1.2"] {
        for level in [
            "linear", "raid0", "raid1", "raid4", "raid5", "raid6", "raid10",
        ] {
            let mut bitmaps = vec!["none"];
            if !matches!(level, "linear" | "raid0") {
                bitmaps.push("internal");
                // mdadm refuses the others.
                if matches!(metadata, "0.90" | "1.2") {
                    bitmaps.push("lockless");
                }
            }
            for bitmap in bitmaps {
                let name = format!("{metadata}-{level}-{bitmap}");
                assert!(names.contains(&name.as_str()), "{name} is missing");
            }
        }
    }
    assert!(images().count() > 200, "only {} members", images().count());
}

/// What a power cut leaves: in either format, superblocks that are not clean, and reshapes in the middle of their way
/// in both directions.
#[test]
fn whatever_may_be_under_way_is_there() {
    let mut found = [[0; 3]; 2];
    for image in images() {
        let block = image.superblock();
        let (array, of_format) = match image.minor() {
            Some(minor) => (*image.sb1(&block, minor).array(), &mut found[1]),
            None => (*image.sb0(&block).array(), &mut found[0]),
        };
        of_format[0] += u32::from(array.resync != ResyncPoint::Done);
        let Some(reshape) = array.reshape else {
            continue;
        };
        let end = size::array_size(&array)
            .expect("a level that reshapes")
            .get();
        match reshape.direction {
            Direction::Forwards => of_format[1] += u32::from(reshape.position.get() > 0),
            Direction::Backwards => of_format[2] += u32::from(reshape.position.get() < end),
        }
    }
    for (format, [dirty, forwards, backwards]) in ["0.90", "1.x"].into_iter().zip(found) {
        assert!(dirty >= 6, "{format}: {dirty} members are not clean");
        assert!(
            forwards >= 4,
            "{format}: {forwards} are on the way forwards"
        );
        assert!(
            backwards >= 4,
            "{format}: {backwards} are on the way backwards"
        );
    }
}

#[test]
fn what_examine_prints_agrees() {
    for image in images() {
        let block = image.superblock();
        let wanted = listing::fields(&image, "mdadm --examine");
        match image.minor() {
            Some(minor) => listing::compare(
                &image,
                &wanted,
                &sb1::examine(&image, &image.sb1(&block, minor)),
            ),
            None => {
                let sb = image.sb0(&block);
                listing::compare(&image, &wanted, &sb0::examine(&sb));
                sb0::compare_table(&image, &sb);
            }
        }
    }
}

#[test]
fn what_examine_exports_agrees() {
    for image in images() {
        let block = image.superblock();
        let wanted = listing::exported(&image);
        let ours = match image.minor() {
            Some(minor) => sb1::export(&image.sb1(&block, minor)),
            None => sb0::export(&image.sb0(&block)),
        };
        listing::compare(&image, &wanted, &ours);
    }
}

/// The directory of unpacked images of an earlier run, if its process is gone.
#[test]
fn old_images_go() {
    let tmp = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    for entry in fs::read_dir(tmp).expect("the directory").flatten() {
        let name = entry.file_name();
        let pid = name
            .to_string_lossy()
            .strip_prefix("golden-")
            .map(str::to_owned);
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            fs::remove_dir_all(entry.path()).expect("old images are ours");
        }
    }
}
