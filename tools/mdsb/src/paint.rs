// SPDX-License-Identifier: GPL-2.0

//! The heat map in a terminal.

use std::{env, io::IsTerminal as _};

use crate::{
    cells::Bitmap,
    heat::{Grid, Look, TilesMax},
};

const COLUMNS: usize = 64;
const ROWS: u64 = 16;

/// Whether to paint or to write letters only.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    Ansi,
    None,
}

impl Colour {
    /// Colour on a terminal whose user does not object (`NO_COLOR`).
    pub fn of_stdout() -> Self {
        let refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        if std::io::stdout().is_terminal() && !refused {
            Self::Ansi
        } else {
            Self::None
        }
    }

    fn paint(self, look: &Look, text: &str) -> String {
        let [r, g, b] = look.rgb;
        match self {
            Self::Ansi => format!("\x1b[30;48;2;{r};{g};{b}m{text}\x1b[0m"),
            Self::None => text.to_owned(),
        }
    }
}

pub fn heat_map(bitmap: &Bitmap, colour: Colour) -> String {
    if bitmap.chunks == 0 {
        return "no chunks yet: the driver that starts the array first fills the bitmap in\n"
            .to_owned();
    }
    let grid = Grid::of(bitmap, &TilesMax(ROWS * COLUMNS as u64));
    let mut out = format!(
        "\nmap, {} to a tile, the most urgent state of each\n",
        chunks(grid.chunks_per_tile)
    );
    let width = bitmap.chunks.to_string().len();
    for row in grid.tiles.chunks(COLUMNS) {
        let first = row.first().map_or(0, |tile| tile.first);
        out.push_str(&format!("{first:width$}  "));
        for state in row.iter().filter_map(|tile| tile.worst()) {
            let look = Look::of(state);
            out.push_str(&colour.paint(&look, &look.glyph.to_string()));
        }
        out.push('\n');
    }
    out + &legend(bitmap, colour)
}

fn legend(bitmap: &Bitmap, colour: Colour) -> String {
    let counts = bitmap.counts();
    let present = counts.iter().filter(|(_, count)| *count != 0);
    let parts: Vec<String> = present
        .map(|(state, count)| {
            let look = Look::of(*state);
            format!(
                "{} {} {count}",
                colour.paint(&look, &look.glyph.to_string()),
                state.name()
            )
        })
        .collect();
    format!("{}\n", parts.join("   "))
}

fn chunks(count: u64) -> String {
    match count {
        1 => "1 chunk".to_owned(),
        many => format!("{many} chunks"),
    }
}
