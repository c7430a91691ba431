// SPDX-License-Identifier: GPL-2.0

//! What a member says, as one tree: printed as text or JSON, and compared. Lengths and times have their unit at the end
//! of their names.

mod areas;
mod superblock;

use md_core::format::{bitmap::BitmapSb, sb1::CrashLog};
use serde::Serialize;
use serde_json::{json, Map, Value};

use crate::{
    cells::Bitmap,
    failure::Failure,
    found::{Member, Superblock},
    names,
    source::Source,
};

/// The tree of a value; every description here is one.
fn tree(value: &impl Serialize) -> Value {
    // Structures of text, numbers and lists become a tree without fail.
    serde_json::to_value(value).unwrap_or_default()
}

/// Everything on `source`, `member` being its superblock.
pub fn member(source: &Source, member: &Member) -> Result<Value, Failure> {
    let sb = member.superblock()?;
    let mut all = Map::new();
    all.insert("device".to_owned(), tree(&Device::of(source)));
    all.insert("superblock".to_owned(), superblock::describe(member, &sb));
    let bitmap = Bitmap::read_superblock(source, &sb);
    let described = match (&bitmap, sb.member().crash_log) {
        (Ok((at, bitmap)), _) => Some(tree(&BitmapFields::of(
            at.get(),
            bitmap,
            sb.uuid_text(bitmap.uuid),
        ))),
        (Err(why), CrashLog::Bitmap(place)) => Some(json!({
            "at_sector": place.start.get(),
            "unreadable": why.to_string(),
        })),
        (Err(_), CrashLog::None | CrashLog::Ppl(_)) => None,
    };
    if let Some(described) = described {
        all.insert("bitmap".to_owned(), described);
    }
    if let Superblock::V1(sb1) = &sb {
        let bitmap = bitmap.as_ref().ok().map(|(_, bitmap)| bitmap);
        areas::describe(source, sb1, bitmap, &mut all)?;
    }
    Ok(Value::Object(all))
}

/// A bitmap with the counts of its chunks' states.
pub fn bitmap(bitmap: &Bitmap) -> Value {
    let mut all = tree(&BitmapFields::of(
        bitmap.at.get(),
        &bitmap.sb,
        bitmap.uuid.clone(),
    ));
    if let Value::Object(map) = &mut all {
        map.insert("chunks".to_owned(), bitmap.chunks.into());
        let counts = bitmap.counts();
        let counts = counts
            .iter()
            .map(|(state, count)| (state.name(), Value::from(*count)));
        map.insert("states".to_owned(), Value::Object(counts.collect()));
    }
    all
}

#[derive(Serialize)]
struct Device<'a> {
    path: &'a str,
    length_sectors: u64,
    block_bytes: u32,
}

impl<'a> Device<'a> {
    fn of(source: &'a Source) -> Self {
        Self {
            path: &source.path,
            length_sectors: source.sectors.get(),
            block_bytes: source.block.bytes(),
        }
    }
}

#[derive(Serialize)]
struct BitmapFields {
    kind: &'static str,
    version: u32,
    at_sector: u64,
    uuid: String,
    events: u64,
    events_cleared: u64,
    state: Vec<String>,
    chunk_sectors: Option<u64>,
    sync_size_sectors: u64,
    reserved_sectors: u64,
    daemon_sleep_s: u32,
    write_behind: u32,
}

impl BitmapFields {
    fn of(at: u64, sb: &BitmapSb, uuid: String) -> Self {
        Self {
            kind: match sb.kind.version() {
                5 => "clustered",
                6 => "lockless",
                _ => "classic",
            },
            version: sb.kind.version(),
            at_sector: at,
            uuid,
            events: sb.events.get(),
            events_cleared: sb.events_cleared.get(),
            state: names::bitmap_state(sb.state),
            chunk_sectors: sb.kind.chunk().map(|chunk| chunk.sectors().get()),
            sync_size_sectors: sb.sync_size.get(),
            reserved_sectors: sb.reserved.get(),
            daemon_sleep_s: sb.daemon_sleep_s.get(),
            write_behind: sb.write_behind,
        }
    }
}
