#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""What reached the members of a raid1, in its order, from a log of dm-log-writes.

There is one log for both legs, which lie one after the other on the logged device, so that what is written to one is
ordered with what is written to the other, and each prefix of the log is what a power cut may leave. A write is in the
log when it has ended; one that is not durable by itself (FUA) when the next flush has.

write_log.py check LOG LEG
    at every write of data to a leg (LEG sectors each), behind the mark `begin`, its chunk is marked in the bitmap of
    that leg, as durable then. Prints what was looked at; the rest of the arguments are of a log in which this is so.
write_log.py cuts LOG LEG COUNT SEED [FROM TO]
    so many places between two entries, in order, or as many as there are: behind the mark `begin`, or between two marks.
write_log.py serve LOG LEG DEVICE DEVICE
    goes through the log as its input says, and answers each line with one:
    `replay CUT`, which is behind the cut before, writes what a cut at that place leaves to the two devices, which are
    empty, and answers how many sectors the chunks have that are marked on one of them;
    `compare` answers `right` when the data on both are equal, and each block is as it was last written on both legs
    before the cut, or as it was written later on one of them; else what is wrong.
"""

import collections
import os
import random
import struct
import sys

SECTOR = 512
BLOCK = 8 * SECTOR
FLUSH, FUA, DISCARD, MARK = 1, 2, 4, 8
MAGIC = 0x6A736677736872
# Blocks that are compared at once.
PIECE = 256
ZEROES = bytes(BLOCK)
# Of a superblock of version 1.2, in sectors from the start of a member.
SUPER = 8

Entry = collections.namedtuple("Entry", "sector count flags data")


def entries(path):
    """The entries of a log."""
    with open(path, "rb") as log:
        magic, _, number, size = struct.unpack_from("<QQQI", log.read(SECTOR))
        if magic != MAGIC or size != SECTOR:
            sys.exit(f"{path}: no log with sectors of {SECTOR} bytes")
        for _ in range(number):
            head = log.read(SECTOR)
            sector, count, flags, length = struct.unpack_from("<QQQQ", head)
            if flags & MARK:
                data = head[32 : 32 + length].rstrip(b"\0")
            elif flags & DISCARD:
                data = b""
            else:
                data = log.read(count * SECTOR)
            yield Entry(sector, count, flags, data)


class Leg:
    """The blocks of a leg that were ever written."""

    def __init__(self):
        self.blocks = {}

    def write(self, sector, data):
        at = sector * SECTOR
        while data:
            number, skip = divmod(at, BLOCK)
            part = data[: BLOCK - skip]
            block = self.blocks.setdefault(number, bytearray(BLOCK))
            block[skip : skip + len(part)] = part
            data, at = data[len(part) :], at + len(part)

    def read(self, at, count):
        out = bytearray()
        while len(out) < count:
            number, skip = divmod(at + len(out), BLOCK)
            out += self.blocks.get(number, bytes(BLOCK))[skip : skip + count - len(out)]
        return bytes(out)


class Bitmap:
    """The bitmap of a leg, found by its superblocks."""

    def __init__(self, leg):
        head = leg.read(SUPER * SECTOR, 256)
        offset = struct.unpack_from("<i", head, 96)[0]
        self.data_at = struct.unpack_from("<Q", head, 128)[0]
        self.at = (SUPER + offset) * SECTOR
        head = leg.read(self.at, 256)
        if head[:4] != b"bitm" or not offset:
            sys.exit("no bitmap")
        version, chunk = struct.unpack_from("<I", head, 4)[0], struct.unpack_from("<I", head, 52)[0]
        # While it takes the place of another it says that it is out of date: all is marked then.
        self.stale = struct.unpack_from("<I", head, 48)[0] & 2 != 0
        self.size = struct.unpack_from("<Q", head, 40)[0]
        self.lockless = version == 6
        self.chunk = chunk if self.lockless else chunk // SECTOR

    def is_marked(self, leg, chunk):
        """Whether the chunk is known to be written to: Dirty, NeedSync or Syncing, or no state at all."""
        if self.lockless:
            return leg.read(self.at + 1024 + chunk, 1)[0] not in (0, 1, 5, 6, 7)
        return leg.read(self.at + 256 + chunk // 8, 1)[0] >> chunk % 8 & 1 == 1

    def chunks(self, sector, count):
        first = sector - self.data_at
        return range(first // self.chunk, (first + count - 1) // self.chunk + 1)

    def marked(self, leg):
        count = (self.size + self.chunk - 1) // self.chunk
        return {chunk for chunk in range(count) if self.stale or self.is_marked(leg, chunk)}


def pieces(entry, size):
    """The leg an entry is for, and where on it."""
    which, sector = divmod(entry.sector, size)
    if sector + entry.count > size or which > 1:
        sys.exit(f"an entry is for no leg: {entry.sector}+{entry.count}")
    return which, sector


def replayed(path, size):
    """The legs after all of it."""
    legs = [Leg(), Leg()]
    for entry in entries(path):
        if entry.count and not entry.flags & (MARK | DISCARD):
            which, sector = pieces(entry, size)
            legs[which].write(sector, entry.data)
    return legs


def mark(path, name):
    for number, entry in enumerate(entries(path)):
        if entry.flags & MARK and entry.data == name.encode():
            return number
    sys.exit(f"the log has no mark {name}")


def check(path, size):
    bitmaps = [Bitmap(leg) for leg in replayed(path, size)]
    durable = [Leg(), Leg()]
    # Writes that are durable with the next flush.
    waiting = []
    start, seen, unmarked = mark(path, "begin"), collections.Counter(), []
    dirty = [set(), set()]
    for number, entry in enumerate(entries(path)):
        if entry.flags & MARK:
            continue
        if entry.flags & FLUSH:
            for which, sector, data in waiting:
                durable[which].write(sector, data)
            waiting = []
            seen["flushes"] += number > start
        if not entry.count:
            continue
        which, sector = pieces(entry, size)
        if sector < bitmaps[which].data_at:
            if entry.flags & FUA:
                durable[which].write(sector, entry.data)
            else:
                waiting.append((which, sector, entry.data))
            at = sector * SECTOR
            if number > start and at <= bitmaps[which].at + 1024 < at + len(entry.data) + 65536:
                now = bitmaps[which].marked(durable[which])
                seen["chunks marked"] += len(now - dirty[which])
                seen["marks gone"] += len(dirty[which] - now)
                dirty[which] = now
            continue
        if number <= start:
            continue
        seen["writes with FUA" if entry.flags & FUA else "writes with a flush"] += 1
        for chunk in bitmaps[which].chunks(sector, entry.count):
            if not bitmaps[which].is_marked(durable[which], chunk):
                unmarked.append(f"entry {number}: leg {which} is written to at {sector}+{entry.count}, chunk {chunk}")
    print(", ".join(f"{count} {what}" for what, count in seen.items()))
    if unmarked:
        sys.exit("\n".join([f"{len(unmarked)} chunks are written to that are not marked:"] + unmarked[:10]))
    for what in ("writes with FUA", "writes with a flush", "chunks marked", "marks gone", "flushes"):
        if not seen[what]:
            sys.exit(f"there are no {what}, so nothing was shown")


def cuts(path, count, seed, first="begin", last=None):
    start = mark(path, first)
    end = mark(path, last) if last else sum(1 for _ in entries(path))
    places = range(start + 1, end + 1)
    for cut in sorted(random.Random(seed).sample(places, min(count, len(places)))):
        print(cut)


class Replay:
    """What a cut leaves, further and further on in the log."""

    def __init__(self, path, size, devices):
        self.entries, self.at = entries(path), 0
        self.size, self.devices = size, devices
        self.legs = [Leg(), Leg()]
        # What each block was on each leg, one after the other.
        self.may = [collections.defaultdict(lambda: [ZEROES]) for _ in devices]

    def go_to(self, cut):
        while self.at < cut:
            entry = next(self.entries)
            self.at += 1
            if not entry.count or entry.flags & (MARK | DISCARD):
                continue
            which, sector = pieces(entry, self.size)
            self.legs[which].write(sector, entry.data)
            for skip in range(0, len(entry.data), BLOCK):
                self.may[which][sector // 8 + skip // BLOCK].append(entry.data[skip : skip + BLOCK])

    def replay(self, cut):
        self.go_to(cut)
        for leg, device in zip(self.legs, self.devices):
            with open(device, "r+b") as file:
                for number, block in leg.blocks.items():
                    file.seek(number * BLOCK)
                    file.write(block)
                file.flush()
                os.fsync(file.fileno())
        marked = set().union(*(Bitmap(leg).marked(leg) for leg in self.legs))
        return len(marked) * Bitmap(self.legs[0]).chunk

    def compare(self):
        number, end = Bitmap(self.legs[0]).data_at // 8, self.size // 8
        with open(self.devices[0], "rb") as first, open(self.devices[1], "rb") as second:
            first.seek(number * BLOCK)
            second.seek(number * BLOCK)
            while number < end:
                count = min(PIECE, end - number)
                piece = first.read(count * BLOCK)
                if len(piece) < count * BLOCK:
                    return f"the legs end in sector {number * 8}"
                if piece != second.read(count * BLOCK):
                    return f"the legs differ in sector {number * 8} or behind it"
                wrong = self.wrong(number, piece)
                if wrong is not None:
                    return f"sector {wrong * 8} is not as it was written"
                number += count
        return "right"

    def wrong(self, number, piece):
        """The first block that is not as it may be, of those from `number` on."""
        for skip in range(0, len(piece), BLOCK):
            block, here = piece[skip : skip + BLOCK], number + skip // BLOCK
            one, other = (may.get(here, [ZEROES]) for may in self.may)
            # As many writes of this block ended on both legs as on the leg with fewer; those behind may be there or not.
            both = min(len(one), len(other)) - 1
            if block not in one[both:] + other[both:]:
                return here
        return None


def serve(path, size, devices):
    replay = Replay(path, size, devices)
    for line in sys.stdin:
        match line.split():
            case ["replay", cut]:
                answer = replay.replay(int(cut))
            case ["compare"]:
                answer = replay.compare()
            case _:
                sys.exit(f"what is {line!r}?")
        print(answer, flush=True)


def main(what, path, size, *rest):
    size = int(size)
    if what == "check":
        check(path, size)
    elif what == "cuts":
        cuts(path, int(rest[0]), int(rest[1]), *rest[2:])
    elif what == "serve":
        serve(path, size, rest)
    else:
        sys.exit(__doc__)


main(*sys.argv[1:])
