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
write_log.py replay LOG LEG CUT DEVICE DEVICE
    writes what a cut at that place leaves to two empty devices. Prints how many sectors the chunks have that are marked
    on one of them.
write_log.py compare LOG LEG CUT DEVICE DEVICE
    the data on both are equal, and each block is as it was last written on both legs before the cut, or as it was
    written later on one of them.
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
        return {chunk for chunk in range(count) if self.is_marked(leg, chunk)}


def pieces(entry, size):
    """The leg an entry is for, and where on it."""
    which, sector = divmod(entry.sector, size)
    if sector + entry.count > size or which > 1:
        sys.exit(f"an entry is for no leg: {entry.sector}+{entry.count}")
    return which, sector


def replayed(path, size, cut=None):
    """The legs after `cut` entries, or all."""
    legs = [Leg(), Leg()]
    for number, entry in enumerate(entries(path)):
        if number == cut:
            break
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


def replay(path, size, cut, devices):
    legs = replayed(path, size, cut)
    for leg, device in zip(legs, devices):
        with open(device, "r+b") as file:
            for number, block in leg.blocks.items():
                file.seek(number * BLOCK)
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
    bitmap = Bitmap(legs[0])
    marked = set().union(*(bitmap.marked(leg) for leg in legs))
    print(len(marked) * bitmap.chunk)


def compare(path, size, cut, devices):
    bitmap = Bitmap(replayed(path, size)[0])
    # Of each block the contents it may have on each leg, the last that was there at the cut first.
    may = [collections.defaultdict(lambda: [bytes(BLOCK)]) for _ in devices]
    for number, entry in enumerate(entries(path)):
        if number == cut:
            break
        if entry.flags & (MARK | DISCARD) or not entry.count:
            continue
        which, sector = pieces(entry, size)
        if sector < bitmap.data_at:
            continue
        for skip in range(0, len(entry.data), BLOCK):
            may[which][sector // 8 + skip // BLOCK].append(entry.data[skip : skip + BLOCK])
    first, second = [open(device, "rb") for device in devices]
    first.seek(bitmap.data_at * SECTOR)
    second.seek(bitmap.data_at * SECTOR)
    number = bitmap.data_at // 8
    for _ in range(bitmap.size // 8):
        block = first.read(BLOCK)
        if block != second.read(BLOCK):
            sys.exit(f"the legs differ in sector {number * 8}")
        one, other = may[0].get(number, [bytes(BLOCK)]), may[1].get(number, [bytes(BLOCK)])
        # As many writes of this block ended on both legs as on the leg with fewer; those behind may be there or not.
        both = min(len(one), len(other)) - 1
        if block not in one[both:] + other[both:]:
            sys.exit(f"sector {number * 8} is not as it was written")
        number += 1


def main(what, path, size, *rest):
    size = int(size)
    if what == "check":
        check(path, size)
    elif what == "cuts":
        cuts(path, int(rest[0]), int(rest[1]), *rest[2:])
    elif what == "replay":
        replay(path, size, int(rest[0]), rest[1:])
    else:
        compare(path, size, int(rest[0]), rest[1:])


main(*sys.argv[1:])
