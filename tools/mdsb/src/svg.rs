// SPDX-License-Identifier: GPL-2.0

//! The heat map as an SVG file: a grid of tiles, each filled from the bottom by the shares of its chunks' states.

use std::{
    fmt::Write as _,
    fs::{self, OpenOptions},
    io::{ErrorKind, Write as _},
};

use crate::{
    cells::Bitmap,
    failure::Failure,
    heat::{Grid, Look, Tile, TilesMax},
};

const COLUMNS: usize = 64;
const TILES_MAX: TilesMax = TilesMax(4096);
/// Pixels of a tile, and of the gap behind it.
const TILE: f64 = 12.0;
const PITCH: f64 = 14.0;
const LEFT: f64 = 96.0;
const TOP: f64 = 64.0;
const RIGHT: f64 = 24.0;
const LEGEND_LINE: f64 = 20.0;
/// The least height of a state that occurs.
const SLIVER: f64 = 2.5;

/// What becomes of a file that is there already.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It stays.
    Keep,
    /// A regular file is replaced.
    Replace,
}

/// Where a drawing goes.
pub struct File<'a> {
    pub path: &'a str,
    pub existing: Existing,
}

impl File<'_> {
    /// Writes `drawing`; never to anything but a regular file.
    pub fn write(&self, drawing: &str) -> Result<(), Failure> {
        let path = self.path;
        let in_the_way = |why| Failure::InTheWay {
            path: path.to_owned(),
            why,
        };
        let failed = |error| Failure::io("write", path, error);
        let mut options = OpenOptions::new();
        options.write(true);
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => options.create_new(true),
            Err(error) => return Err(failed(error)),
            Ok(found) if !found.is_file() => return Err(in_the_way("it is no regular file")),
            Ok(_) if self.existing == Existing::Keep => {
                return Err(in_the_way("--force replaces it"))
            }
            Ok(_) => options.truncate(true),
        };
        let mut file = options.open(path).map_err(failed)?;
        file.write_all(drawing.as_bytes()).map_err(failed)
    }
}

pub fn draw(path: &str, bitmap: &Bitmap) -> String {
    let grid = Grid::of(bitmap, &TILES_MAX);
    let rows = grid.tiles.len().div_ceil(COLUMNS);
    let present: Vec<_> = bitmap
        .counts()
        .into_iter()
        .filter(|(_, count)| *count != 0)
        .collect();
    let width = LEFT + COLUMNS as f64 * PITCH + RIGHT;
    let legend_at = TOP + rows as f64 * PITCH + 28.0;
    let height = legend_at + present.len() as f64 * LEGEND_LINE + 8.0;
    let mut out = String::new();
    out += &format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"12\" fill=\"#24292f\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    out += &heading(path, bitmap, &grid);
    for (index, tile) in grid.tiles.iter().enumerate() {
        let (row, column) = (index / COLUMNS, index % COLUMNS);
        let y = TOP + row as f64 * PITCH;
        if column == 0 {
            let at = y + TILE - 2.0;
            out += &format!(
                "<text x=\"{}\" y=\"{at}\" text-anchor=\"end\" font-size=\"10\">{}</text>\n",
                LEFT - 8.0,
                tile.first
            );
        }
        draw_tile(&mut out, tile, LEFT + column as f64 * PITCH, y);
    }
    for (line, (state, count)) in present.iter().enumerate() {
        let y = legend_at + line as f64 * LEGEND_LINE;
        let share = *count as f64 * 100.0 / bitmap.chunks.max(1) as f64;
        out += &format!(
            "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{TILE}\" height=\"{TILE}\" rx=\"2\" fill=\"{}\"/>\n\
             <text x=\"{}\" y=\"{}\">{}: {count} ({share:.1} %)</text>\n",
            colour(Look::of(*state)), LEFT + 20.0, y + 10.5, state.name()
        );
    }
    out + "</svg>\n"
}

fn heading(path: &str, bitmap: &Bitmap, grid: &Grid) -> String {
    let kind = if bitmap.sb.kind.is_lockless() {
        "lockless"
    } else {
        "classic"
    };
    let chunk = bitmap
        .sb
        .kind
        .chunk()
        .map_or(0, |chunk| chunk.sectors().to_kib());
    format!(
        "<text x=\"{LEFT}\" y=\"26\" font-size=\"16\" font-weight=\"bold\">{kind} bitmap of {}</text>\n\
         <text x=\"{LEFT}\" y=\"46\" fill=\"#57606a\">{} chunks of {chunk} KiB; a tile is {} of them, \
         each row begins with the chunk named at its left</text>\n",
        escape(path), bitmap.chunks, grid.chunks_per_tile
    )
}

/// Fills a tile from the bottom, the least urgent state first; what occurs at all is seen.
fn draw_tile(out: &mut String, tile: &Tile, x: f64, y: f64) {
    let all = tile.chunks().max(1) as f64;
    let mut title = format!("from chunk {}:", tile.first);
    for (state, count) in &tile.counts {
        // Writing to a text cannot fail.
        let _ = write!(title, " {} {count}", state.name());
    }
    out.push_str(&format!("<g><title>{title}</title>"));
    let heights = heights(tile, all);
    let mut bottom = y + TILE;
    for ((state, _), height) in tile.counts.iter().zip(heights) {
        bottom -= height;
        out.push_str(&format!(
            "<rect x=\"{x}\" y=\"{bottom:.2}\" width=\"{TILE}\" height=\"{height:.2}\" fill=\"{}\"/>",
            colour(Look::of(*state))
        ));
    }
    out.push_str("</g>\n");
}

/// The height of each state: its share of what is left when each has its sliver.
fn heights(tile: &Tile, all: f64) -> Vec<f64> {
    let sliver = SLIVER.min(TILE / tile.counts.len().max(1) as f64);
    let rest = TILE - sliver * tile.counts.len() as f64;
    let share = |count: u64| sliver + rest * count as f64 / all;
    tile.counts.iter().map(|(_, count)| share(*count)).collect()
}

fn colour(look: Look) -> String {
    let [r, g, b] = look.rgb;
    format!("#{r:02x}{g:02x}{b:02x}")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
