// SPDX-License-Identifier: GPL-2.0

//! Writes the first inputs of the fuzz targets, `tools/fuzz/corpus/TARGET/NAME`, from golden images:
//!
//!     cargo run -p golden --example seeds
//!
//! Where what lies on these members is written down here; the parsers are what the targets test.

use std::{
    env,
    fs::{self, File},
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

/// A piece of a member that is the input of a target.
struct Seed {
    target: &'static str,
    case: &'static str,
    member: usize,
    start: Start,
    bytes: usize,
    prefix: Prefix,
}

/// Where the piece starts, in bytes.
#[derive(Clone, Copy)]
enum Start {
    At(u64),
    /// At the 1.0 or the 0.90 superblock.
    V1_0,
    V0_90,
}

/// What a target wants before the piece.
#[derive(Clone, Copy)]
enum Prefix {
    None,
    /// A byte.
    Byte(u8),
    /// The length of the device, as the targets read it.
    Device,
    /// The minor version and the device.
    MinorAndDevice(u64),
}

/// Superblocks without the empty end of their table of roles.
const SB1: usize = 320;

const fn seed(
    target: &'static str,
    case: &'static str,
    start: Start,
    bytes: usize,
    prefix: Prefix,
) -> Seed {
    Seed {
        target,
        case,
        member: 0,
        start,
        bytes,
        prefix,
    }
}

const V1_2: Start = Start::At(4096);
const BITMAP: Start = Start::At(8192);

const SEEDS: &[Seed] = &[
    seed(
        "sb1",
        "1.2-raid5-internal",
        V1_2,
        SB1,
        Prefix::MinorAndDevice(2),
    ),
    seed(
        "sb1",
        "1.2-raid10-lockless",
        V1_2,
        SB1,
        Prefix::MinorAndDevice(2),
    ),
    seed(
        "sb1",
        "1.1-raid6-internal",
        Start::At(0),
        SB1,
        Prefix::MinorAndDevice(1),
    ),
    seed(
        "sb1",
        "1.0-raid1-internal",
        Start::V1_0,
        SB1,
        Prefix::MinorAndDevice(0),
    ),
    seed("sb1", "bad-blocks", V1_2, SB1, Prefix::MinorAndDevice(2)),
    seed("sb1", "journal", V1_2, SB1, Prefix::MinorAndDevice(2)),
    seed("sb1", "ppl", V1_2, SB1, Prefix::MinorAndDevice(2)),
    seed("sb1", "reshape-grow", V1_2, SB1, Prefix::MinorAndDevice(2)),
    seed("sb1", "replacement", V1_2, SB1, Prefix::MinorAndDevice(2)),
    seed("sb1", "raid0-zones", V1_2, SB1, Prefix::MinorAndDevice(2)),
    seed(
        "sb0",
        "0.90-raid5-internal",
        Start::V0_90,
        4096,
        Prefix::Device,
    ),
    seed(
        "sb0",
        "degraded-0.90-internal",
        Start::V0_90,
        4096,
        Prefix::Device,
    ),
    seed("sb0", "reshape-0.91", Start::V0_90, 4096, Prefix::Device),
    seed("bitmap", "degraded-1.2-internal", BITMAP, 320, Prefix::None),
    seed(
        "bitmap",
        "degraded-1.2-lockless",
        BITMAP,
        1340,
        Prefix::None,
    ),
    seed("bitmap", "1.2-raid5-lockless", BITMAP, 1340, Prefix::None),
    Seed {
        member: 1,
        ..seed(
            "badblocks",
            "bad-blocks",
            Start::At(12_288),
            32,
            Prefix::Byte(0),
        )
    },
    seed("ppl", "ppl", BITMAP, 600, Prefix::Byte(0)),
    Seed {
        member: 3,
        ..seed("journal", "journal", Start::At(1 << 20), 256, Prefix::None)
    },
    Seed {
        member: 3,
        ..seed(
            "journal",
            "journal",
            Start::At((1 << 20) + 4096),
            256,
            Prefix::None,
        )
    },
];

/// A text for each kind of attribute.
const WORDS: &[&str] = &[
    "none",
    "external:imsm",
    "1.2",
    "0.90",
    "md_home",
    "md127",
    "raid5",
    "clean",
    "write-pending",
    "resync",
    "idle",
    "0.200",
    "default",
    "12345678",
    "-1",
    "0x10",
    "18446744073709551615",
    "8:16",
    "-writemostly",
    "want_replacement",
    "3000 8",
    "+8",
    "system",
    "max",
    "internal",
    "lockless",
    "5.5",
    "write-through",
    "ppl",
    "forwards",
    "0-3 7\n",
];

fn main() -> io::Result<()> {
    let images = env::temp_dir().join(format!("golden-seeds-{}", std::process::id()));
    fs::create_dir_all(&images)?;
    let cases = golden::unpack(&images)?;
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    for (index, seed) in SEEDS.iter().enumerate() {
        let case = cases.iter().find(|case| case.name == seed.case);
        let member = case.and_then(|case| case.members.get(seed.member));
        let member =
            member.ok_or_else(|| io::Error::other(format!("no {}/{}", seed.case, seed.member)))?;
        let name = format!("{}-{}-{index}", seed.case, seed.member);
        write(&corpus, seed.target, &name, &input(seed, &member.image)?)?;
    }
    for case in ["1.2-raid5-internal", "degraded-1.2-internal", "replacement"] {
        let case = cases
            .iter()
            .find(|known| known.name == case)
            .ok_or(io::ErrorKind::NotFound)?;
        write(&corpus, "assemble", &case.name, &assembly(case)?)?;
    }
    for word in WORDS {
        let name: String = word.chars().filter(char::is_ascii_alphanumeric).collect();
        write(&corpus, "words", &name, word.as_bytes())?;
    }
    for (name, word) in [
        ("near-2", 0x102),
        ("offset-2", 0x10201),
        ("left-symmetric", 2),
        ("ddf", 9),
    ] {
        let numbers: [u64; 5] = [word, 7, 5, 1 << 20, 123_456];
        write(
            &corpus,
            "layouts",
            name,
            &numbers.map(u64::to_le_bytes).concat(),
        )?;
    }
    fs::remove_dir_all(images)
}

fn write(corpus: &Path, target: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
    let dir: PathBuf = corpus.join(target);
    fs::create_dir_all(&dir)?;
    fs::write(dir.join(name), bytes)
}

/// A number that the targets take for a device of 512-byte blocks with this many sectors.
fn device(sectors: u64) -> u64 {
    let number = sectors << 24;
    number + (3 - number % 3) % 3
}

fn input(seed: &Seed, image: &Path) -> io::Result<Vec<u8>> {
    let sectors = fs::metadata(image)?.len() / 512;
    let start = match seed.start {
        Start::At(byte) => byte,
        Start::V1_0 => ((sectors - 16) & !7) * 512,
        Start::V0_90 => ((sectors & !127) - 128) * 512,
    };
    let mut input = match seed.prefix {
        Prefix::None => Vec::new(),
        Prefix::Byte(byte) => vec![byte],
        Prefix::Device => device(sectors).to_le_bytes().to_vec(),
        Prefix::MinorAndDevice(minor) => [minor, device(sectors)].map(u64::to_le_bytes).concat(),
    };
    input.extend(read(image, start, seed.bytes)?);
    Ok(input)
}

/// The superblocks of a case one behind the other.
fn assembly(case: &golden::Case) -> io::Result<Vec<u8>> {
    let first = case.members.first().ok_or(io::ErrorKind::NotFound)?;
    let sectors = fs::metadata(&first.image)?.len() / 512;
    let mut input = device(sectors).to_le_bytes().to_vec();
    for member in &case.members {
        input.extend(read(&member.image, 4096, SB1)?);
    }
    Ok(input)
}

fn read(image: &Path, start: u64, bytes: usize) -> io::Result<Vec<u8>> {
    let mut piece = vec![0; bytes];
    File::open(image)?.read_exact_at(&mut piece, start)?;
    Ok(piece)
}
