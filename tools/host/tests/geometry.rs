// SPDX-License-Identifier: GPL-2.0

//! Sizes against those that the C driver reported for the geometries of `tests/golden/geometry.tsv`, which
//! `scripts/golden/geometry.sh` recorded.

use md_core::{
    layout::{
        chunk::{ChunkSize, MemberCount, PowerOfTwoChunk},
        linear::{Linear, Rounding},
        mirror::{Placement, Raid1, Raid10, Raid10Error, Raid10Layout},
        raid0::{OrderPolicy, Raid0, Zone, ZoneOrder},
        raid456::{ParityLayout, Raid456, Raid5Layout, Raid6Layout},
    },
    units::{Sectors, Slot},
};
use std::{collections::HashMap, fs, path::Path};

/// What an array comes to; the component size is not compared for linear and raid0, which have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sizes {
    array: u64,
    component: Option<u64>,
}

#[derive(Debug)]
struct Row {
    level: String,
    layout: u32,
    chunk: u32,
    /// What was asked for; without it, what the driver reports.
    component: Option<u64>,
    /// The lengths of the members' data areas.
    members: Vec<u64>,
    /// `None` where the C driver refused to run the array.
    sizes: Option<Sizes>,
}

impl Row {
    fn parse(line: &str) -> Self {
        let fields: Vec<&str> = line.split('\t').collect();
        let [_, level, layout, chunk, component, members, array, used] = fields[..] else {
            panic!("not eight fields: {line}");
        };
        let number = |field: &str| {
            field
                .parse::<u64>()
                .unwrap_or_else(|_| panic!("not a number: {field} in {line}"))
        };
        let length = |member: &str| number(member.split(':').next().expect("a length"));
        let has_component = !matches!(level, "linear" | "raid0");
        Self {
            level: level.to_owned(),
            // C prints the word with a sign: raid0 with a 0.90 superblock has -1.
            layout: u32::from_ne_bytes(layout.parse::<i32>().expect("a layout word").to_ne_bytes()),
            chunk: chunk.parse().expect("a chunk length"),
            component: (component != "-").then(|| number(component)),
            members: members.split(',').map(length).collect(),
            sizes: (array != "refused").then(|| Sizes {
                array: number(array),
                component: has_component.then(|| number(used)),
            }),
        }
    }

    fn chunk(&self) -> Option<ChunkSize> {
        ChunkSize::new(self.chunk).ok()
    }

    fn power_chunk(&self) -> Option<PowerOfTwoChunk> {
        PowerOfTwoChunk::new(self.chunk()?, Sectors::new(8)).ok()
    }

    fn lengths(&self) -> Vec<Sectors> {
        self.members.iter().copied().map(Sectors::new).collect()
    }

    fn count(&self) -> MemberCount {
        MemberCount::new(self.members.len().try_into().expect("few members")).expect("a member")
    }

    fn available(&self) -> Sectors {
        Sectors::new(self.component.expect("a component size"))
    }

    /// The sizes that we give the array; `None` where we refuse it.
    fn ours(&self) -> Option<Sizes> {
        match self.level.as_str() {
            "linear" => self.linear(),
            "raid0" => self.raid0(),
            "raid1" => Some(mirror(&Raid1::new(self.count(), self.available()))),
            "raid10" => self.raid10()?.ok().map(|array| mirror(&array)),
            level => self.parity(level),
        }
    }

    fn linear(&self) -> Option<Sizes> {
        let rounding = self.chunk().map_or(Rounding::Exact, Rounding::Chunks);
        let array = Linear::from_lengths(self.lengths(), rounding).ok()?;
        Some(Sizes {
            array: array.array_size().get(),
            component: None,
        })
    }

    fn raid0(&self) -> Option<Sizes> {
        let needs = Raid0::needs(self.chunk()?, &self.lengths()).ok()?;
        let policy = OrderPolicy {
            recorded: ZoneOrder::from_word(self.layout),
            default_layout: None,
        };
        let zones = vec![Zone::EMPTY; needs.zones];
        let slots = vec![Slot::new(0); needs.slots];
        let array = Raid0::build(self.chunk()?, &self.lengths(), policy, zones, slots).ok()?;
        Some(Sizes {
            array: array.array_size().get(),
            component: None,
        })
    }

    fn raid10(&self) -> Option<Result<Raid10, Raid10Error>> {
        let layout = Raid10Layout::parse(self.layout).ok()?;
        Some(Raid10::new(
            layout,
            self.power_chunk()?,
            self.count(),
            self.available(),
        ))
    }

    fn parity(&self, level: &str) -> Option<Sizes> {
        let layout = match level {
            "raid4" => ParityLayout::Raid4,
            "raid5" => ParityLayout::Raid5(Raid5Layout::parse(self.layout).ok()?),
            "raid6" => ParityLayout::Raid6(Raid6Layout::parse(self.layout).ok()?),
            other => panic!("unknown level {other}"),
        };
        let array =
            Raid456::new(layout, self.power_chunk()?, self.count(), self.available()).ok()?;
        Some(Sizes {
            array: array.array_size().get(),
            component: Some(array.member_size().get()),
        })
    }

    /// C md runs these arrays although they lose data; we do not.
    fn is_refused_on_purpose(&self) -> bool {
        use Raid10Error::{CopiesShareMember, NearCopiesCrossSets, NearCopiesHitOffset};
        self.level == "raid10"
            && matches!(
                self.raid10(),
                Some(Err(CopiesShareMember
                    | NearCopiesCrossSets
                    | NearCopiesHitOffset))
            )
    }
}

fn mirror(array: &impl Placement) -> Sizes {
    Sizes {
        array: array.array_size().get(),
        component: Some(array.member_size().get()),
    }
}

fn table() -> Vec<Row> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/geometry.tsv");
    let text =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(Row::parse)
        .collect()
}

#[test]
fn sizes_are_those_of_the_c_driver() {
    let rows = table();
    assert!(rows.len() >= 200, "only {} rows", rows.len());
    let mut compared: HashMap<&str, usize> = HashMap::new();
    let mut on_purpose = 0;
    for row in &rows {
        if row.is_refused_on_purpose() {
            on_purpose += 1;
            continue;
        }
        assert_eq!(row.ours(), row.sizes, "{row:?}");
        *compared.entry(&row.level).or_default() += 1;
    }
    for level in [
        "linear", "raid0", "raid1", "raid10", "raid4", "raid5", "raid6",
    ] {
        assert!(
            compared.get(level).is_some_and(|count| *count >= 10),
            "too few rows of {level}: {compared:?}"
        );
    }
    assert!(
        on_purpose * 5 < rows.len(),
        "{on_purpose} of {} rows are left out",
        rows.len()
    );
}

#[test]
fn refusals_of_the_c_driver_are_ours_too() {
    let refused: Vec<_> = table()
        .into_iter()
        .filter(|row| row.sizes.is_none())
        .collect();
    assert!(refused.len() >= 10, "only {} refusals", refused.len());
    for row in refused {
        assert_eq!(row.ours(), None, "{row:?}");
    }
}
