// SPDX-License-Identifier: GPL-2.0

//! The area of a partial parity log, searched for its newest header.

use md_core::{
    format::{
        ident::Uuid,
        ppl::{signature, Found, Owner, Search, Stop, HEADER_BYTES},
        BlockSize,
    },
    units::{SectorRange, Sectors},
};

use crate::{failure::Failure, source::Source};

pub struct Area {
    /// The newest header, and its bytes.
    pub newest: Option<(Found, Vec<u8>)>,
    /// Why the search ended before the area did.
    pub stop: Option<Stop>,
}

impl Area {
    /// Searches `range`, the area of a member of the array `uuid`.
    pub fn read(source: &Source, range: SectorRange, uuid: Uuid) -> Result<Self, Failure> {
        let mut search = Search::new(
            range.len(),
            Owner::Array(signature(uuid)),
            BlockSize::SECTOR,
        );
        let mut area = Self {
            newest: None,
            stop: None,
        };
        while let Some(by) = search.place() {
            let at = range.start().saturating_add(by);
            let bytes = source.read(at, HEADER_BYTES as u64, "the partial parity log")?;
            match search.take(&bytes) {
                Ok(()) => area.newest = search.newest().map(|found| (found, bytes)),
                Err(stop) => area.stop = Some(stop),
            }
        }
        Ok(area)
    }

    /// What there is from the newest header to the end of an area of so many sectors.
    pub fn room(&self, area: Sectors) -> Sectors {
        let at = self
            .newest
            .as_ref()
            .map_or(Sectors::ZERO, |(found, _)| found.at);
        area.checked_sub(at).unwrap_or(Sectors::ZERO)
    }
}
