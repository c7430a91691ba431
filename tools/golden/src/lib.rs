// SPDX-License-Identifier: GPL-2.0

//! The members that `scripts/golden/images.sh` recorded: sparse images as mdadm 4.6 and the C driver wrote them, and
//! what mdadm says of each.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufReader},
    path::{Path, PathBuf},
};

/// An array's members, recorded at one moment.
pub struct Case {
    /// Its name, which is the name of the array too.
    pub name: String,
    /// Its members, in the order of their devices.
    pub members: Vec<Member>,
}

/// A member.
pub struct Member {
    /// Its image, as long as the device was.
    pub image: PathBuf,
    /// The logical block size of the device, in bytes.
    pub block: u32,
    /// What each command printed, by command.
    pub listings: BTreeMap<String, String>,
}

impl Member {
    /// What `command` printed, if it was run on this member.
    pub fn listing(&self, command: &str) -> Option<&str> {
        self.listings.get(command).map(String::as_str)
    }
}

/// Unpacks every case below `dir`, which must exist.
///
/// # Errors
///
/// When the archive or a listing cannot be read, or is not what the script writes.
pub fn unpack(dir: &Path) -> io::Result<Vec<Case>> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden");
    let packed = BufReader::new(File::open(golden.join("images.tar.zst"))?);
    let plain = ruzstd::decoding::StreamingDecoder::new(packed).map_err(io::Error::other)?;
    let mut archive = tar::Archive::new(plain);
    archive.set_preserve_mtime(false);
    archive.set_preserve_permissions(false);
    archive.unpack(dir)?;
    let mut cases = Vec::new();
    for entry in fs::read_dir(golden.join("images"))? {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        cases.push(Case {
            members: members(&fs::read_to_string(&path)?, &dir.join(&*name))?,
            name: name.into_owned(),
        });
    }
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(cases)
}

/// Takes a listing apart: `### member N, ...` starts a member, `## COMMAND` the output of a command.
fn members(listing: &str, images: &Path) -> io::Result<Vec<Member>> {
    let mut members: Vec<Member> = Vec::new();
    let mut command = String::new();
    for line in listing.lines() {
        if let Some(header) = line.strip_prefix("### ") {
            let number = members.len().to_string();
            members.push(member(header, &number, images)?);
        } else if let Some(name) = line.strip_prefix("## ") {
            name.clone_into(&mut command);
        } else {
            let member = members.last_mut().ok_or_else(|| unexpected(line))?;
            let text = member.listings.entry(command.clone()).or_default();
            text.push_str(line);
            text.push('\n');
        }
    }
    Ok(members)
}

/// A member from its header: `member 0, 40966 sectors, blocks of 512`.
fn member(header: &str, number: &str, images: &Path) -> io::Result<Member> {
    let parts: Vec<&str> = header.split([' ', ',']).collect();
    let (Some(&given), Some(sectors), Some(block)) = (parts.get(1), parts.get(3), parts.last())
    else {
        return Err(unexpected(header));
    };
    let image = images.join(number);
    let whole = sectors.parse() == Ok(fs::metadata(&image)?.len() / 512);
    if given != number || !whole {
        return Err(unexpected(header));
    }
    Ok(Member {
        image,
        block: block.parse().map_err(|_| unexpected(header))?,
        listings: BTreeMap::new(),
    })
}

fn unexpected(line: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("unexpected: {line}"))
}
