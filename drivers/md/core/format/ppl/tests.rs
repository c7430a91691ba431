// SPDX-License-Identifier: GPL-2.0

//! Tests of [`ppl`](super): headers, and which of several is the newest.

use super::*;
use std::vec::Vec;

/// As much as any log takes.
const ROOM: Sectors = Sectors::MAX;

fn write(data: u64, parity_sectors: u64) -> Write {
    Write {
        data: Sector::new(data),
        data_len: Sectors::new(16),
        parity_len: Sectors::new(parity_sectors),
        parity_slot: Slot::new(2),
        checksum: 0x1234,
    }
}

fn header(writes: &[Write]) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_BYTES];
    let new = NewHeader {
        signature: signature(Uuid::default()),
        generation: 9,
        block: BlockSize::PAGE,
    };
    new.write(&mut bytes, writes.iter().copied())
        .expect("a header that fits");
    bytes
}

#[test]
fn headers_round_trip() {
    let writes = [write(0, 8), write(4096, 0)];
    let bytes = header(&writes);
    let parsed = Header::parse(&bytes, BlockSize::PAGE, ROOM).expect("a good header");
    assert_eq!(parsed.writes().collect::<Vec<_>>(), writes);
    assert_eq!(
        (parsed.generation(), parsed.signature()),
        (9, signature(Uuid::default()))
    );
    assert_eq!(parsed.len(), Sectors::new(16));
}

/// The fields where `struct ppl_header` has them.
#[test]
fn the_bytes_of_a_header() {
    let bytes = header(&[write(4096, 8)]);
    assert!(bytes[..512].iter().all(|&b| b == 0xff));
    assert_eq!(bytes[520], 9);
    assert_eq!(bytes[528], 1);
    assert_eq!(
        bytes[536..560],
        [0, 2, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 32, 0, 0, 2, 0, 0, 0, 0x34, 0x12, 0, 0]
    );
}

#[test]
fn as_many_entries_as_fit() {
    let full = [write(8, 8); ENTRIES_MAX];
    let bytes = header(&full);
    assert_eq!(
        Header::parse(&bytes, BlockSize::PAGE, ROOM).map(|h| h.writes().count()),
        Ok(ENTRIES_MAX)
    );
    let new = NewHeader {
        signature: 0,
        generation: 0,
        block: BlockSize::SECTOR,
    };
    let mut bytes = vec![0; HEADER_BYTES];
    assert_eq!(
        new.write(&mut bytes, [write(8, 8); ENTRIES_MAX + 1]),
        Err(PplError::Entries(149))
    );
}

#[test]
fn what_is_refused() {
    let good = header(&[write(8, 8)]);
    let broken = |at: usize, value: u32| {
        let mut bytes = good.clone();
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        let sum = !crc32c_without(!0, &bytes, CHECKSUM_AT);
        bytes[CHECKSUM_AT..CHECKSUM_AT + 4].copy_from_slice(&sum.to_le_bytes());
        Header::parse(&bytes, BlockSize::PAGE, ROOM).map(|_| ())
    };
    assert_eq!(broken(528, 149), Err(PplError::Entries(149)));
    assert_eq!(broken(544, 513), Err(PplError::Entry(Entry(0))));
    assert_eq!(broken(540, u32::MAX), Err(PplError::Entry(Entry(0))));
    assert_eq!(broken(552, 65536), Err(PplError::ParityDisk(65536)));
    let mut torn = good.clone();
    torn[4095] ^= 1;
    assert!(matches!(
        Header::parse(&torn, BlockSize::PAGE, ROOM),
        Err(PplError::Checksum { .. })
    ));
}

#[test]
fn a_log_ends_within_its_area() {
    let bytes = header(&[write(0, 8), write(4096, 3)]);
    let parsed = |room| Header::parse(&bytes, BlockSize::PAGE, Sectors::new(room)).map(|_| ());
    assert_eq!(parsed(19), Ok(()));
    assert_eq!(parsed(18), Err(PplError::BeyondArea(Sectors::new(19))));
}

/// A header of the array 7, or of another.
fn numbered(signature: u32, generation: u64, parity_sectors: u64) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_BYTES];
    let new = NewHeader {
        signature,
        generation,
        block: BlockSize::SECTOR,
    };
    let write = write(0, parity_sectors);
    new.write(&mut bytes, (parity_sectors != 0).then_some(write))
        .expect("a header that fits");
    bytes
}

/// Searches an area of `sectors` with these headers at these sectors, zeroes elsewhere.
fn search(sectors: u64, headers: &[(u64, Vec<u8>)]) -> (Option<(u64, u64)>, Option<Stop>) {
    let mut search = Search::new(Sectors::new(sectors), Owner::Array(7), BlockSize::SECTOR);
    let mut stop = None;
    while let Some(place) = search.place() {
        assert!(place.get() + 8 < sectors, "read at {place} of {sectors}");
        let there = headers.iter().find(|(at, _)| *at == place.get());
        let nothing = vec![0; HEADER_BYTES];
        stop = search
            .take(there.map_or(&nothing, |(_, bytes)| bytes))
            .err();
    }
    assert_eq!(search.take(&[]), Ok(()));
    let newest = search.newest();
    (newest.map(|found| (found.at.get(), found.generation)), stop)
}

#[test]
fn the_newest_of_several_headers_is_found() {
    let ours = |generation, parity| numbered(7, generation, parity);
    let foreign = |generation| numbered(8, generation, 0);
    let (found, stop) = search(2048, &[]);
    assert_eq!(found, None);
    assert!(matches!(
        stop,
        Some(Stop::Header(PplError::Checksum { .. }))
    ));
    assert_eq!(
        search(2048, &[(0, foreign(1))]),
        (None, Some(Stop::Foreign(8)))
    );
    // The ring began anew behind the second.
    let ring = [(0, ours(9, 8)), (16, ours(10, 24)), (48, ours(3, 8))];
    assert_eq!(search(2048, &ring), (Some((16, 10)), Some(Stop::Older(3))));
    let torn = [(0, ours(9, 8)), (16, ours(10, 0))];
    let (found, stop) = search(2048, &torn);
    assert_eq!(found, Some((16, 10)));
    assert!(matches!(
        stop,
        Some(Stop::Header(PplError::Checksum { .. }))
    ));
    let stranger = [(0, ours(9, 8)), (16, foreign(10))];
    assert_eq!(
        search(2048, &stranger),
        (Some((0, 9)), Some(Stop::Foreign(8)))
    );
    // Of two of the same generation the later counts, as in C md.
    let twins = [(0, ours(9, 0)), (8, ours(9, 8)), (24, ours(8, 0))];
    assert_eq!(search(2048, &twins), (Some((8, 9)), Some(Stop::Older(8))));
}

#[test]
fn a_search_stays_in_its_area() {
    let ours = |generation, parity| numbered(7, generation, parity);
    // The log fills the area: nothing is read behind it, and its place is not lost.
    assert_eq!(search(32, &[(0, ours(4, 24))]), (Some((0, 4)), None));
    assert_eq!(search(40, &[(0, ours(4, 24))]), (Some((0, 4)), None));
    let long = search(31, &[(0, ours(4, 24))]);
    let beyond = PplError::BeyondArea(Sectors::new(32));
    assert_eq!(long, (None, Some(Stop::Header(beyond))));
    for short in [0, 1, 7, 8] {
        assert_eq!(search(short, &[(0, ours(4, 0))]), (None, None), "{short}");
    }
    let mut anybody = Search::new(Sectors::new(64), Owner::Anybody, BlockSize::SECTOR);
    assert_eq!(anybody.take(&numbered(8, 1, 0)), Ok(()));
    assert_eq!(anybody.newest().map(|found| found.generation), Some(1));
}
