#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Where a raid10 has its copies, told without the driver: for scenarios.

raid10.py ARRAY MEMBER...: compares every chunk of ARRAY with each of its copies on the members, which are given by
slot, `missing` for none. Prints `chunks N, wrong copies M` and fails if there is a wrong one. Shape and offsets are
taken from sysfs and the superblocks, the rest is written down from the format, not from any driver's code.

raid10.py --share ARRAY MEMBERS SLOT KIB NUMBER...: how many sectors of a member's are copies of these parts of ARRAY, each of
KIB and told by its number.
"""

import os
import struct
import subprocess
import sys

SECTOR = 512


def attribute(array, name):
    base = "/sys/block/" + os.path.basename(array) + "/md/"
    with open(base + name, encoding="ascii") as file:
        return int(file.read().split()[0])


def data_offset(member):
    subprocess.run(["blockdev", "--flushbufs", member], check=True)
    with open(member, "rb", buffering=0) as file:
        superblock = os.pread(file.fileno(), 256, 4096)
    # 1.2 has its superblock there: mdadm takes longer to say so.
    if struct.unpack_from("<II", superblock) == (0xA92B4EFC, 1):
        return struct.unpack_from("<Q", superblock, 128)[0]
    text = subprocess.run(["mdadm", "--examine", member], check=True, capture_output=True, text=True).stdout
    line = next((line for line in text.splitlines() if "Data Offset" in line), None)
    # 0.90 has the data at the beginning.
    return int(line.split()[3]) if line else 0


def read_all(device, start=0, length=None):
    """What is on media, not in a cache."""
    subprocess.run(["blockdev", "--flushbufs", device], check=True)
    with open(device, "rb") as file:
        file.seek(start)
        return file.read() if length is None else file.read(length)


class Layout:
    def __init__(self, word, chunk, members, used):
        self.near, self.far = word & 255, word >> 8 & 255
        self.offset, kind = word >> 16 & 1, word >> 17 & 3
        self.chunk, self.members = chunk, members
        self.set_size = (members, members // self.far, self.near * self.far)[kind]
        rows = used // chunk // self.far
        self.stride = chunk if self.offset else rows * chunk
        self.chunks = rows * members // self.near

    def moved(self, member, step):
        """`step` members further on in the far set, of which the last takes the rest too."""
        sets = self.members // self.set_size
        number = min(member // self.set_size, sets - 1)
        start = number * self.set_size
        size = self.members - start if number == sets - 1 else self.set_size
        return start + (member - start + step) % size

    def copies(self, chunk):
        row, member = divmod(chunk * self.near, self.members)
        sector = row * self.chunk * (self.far if self.offset else 1)
        for _ in range(self.near):
            for far in range(self.far):
                yield self.moved(member, far * self.near), sector + far * self.stride
            member += 1
            if member == self.members:
                member, sector = 0, sector + self.chunk


def layout_of(array, members):
    used = attribute(array, "component_size") * 2
    return Layout(attribute(array, "layout"), attribute(array, "chunk_size") // SECTOR, members, used), used


def share(array, members, slot, kib, *numbers):
    layout, _ = layout_of(array, int(members))
    length, sectors = int(kib) * 2, 0
    for start in (int(number) * length for number in numbers):
        end = min(start + length, layout.chunks * layout.chunk)
        for chunk in range(start // layout.chunk, (end - 1) // layout.chunk + 1):
            first = chunk * layout.chunk
            part = min(end, first + layout.chunk) - max(start, first)
            sectors += part * sum(member == int(slot) for member, _ in layout.copies(chunk))
    print(sectors)


def main():
    array, members = sys.argv[1], sys.argv[2:]
    layout, used = layout_of(array, len(members))
    data = read_all(array)
    if len(data) != layout.chunks * layout.chunk * SECTOR:
        sys.exit(f"the array has {len(data)} bytes, and should have {layout.chunks} chunks")
    media = [None if m == "missing" else read_all(m, data_offset(m) * SECTOR, used * SECTOR) for m in members]
    wrong, first = 0, None
    size = layout.chunk * SECTOR
    for chunk in range(layout.chunks):
        want = data[chunk * size:chunk * size + size]
        for member, sector in layout.copies(chunk):
            if media[member] is None:
                continue
            if media[member][sector * SECTOR:sector * SECTOR + size] != want:
                wrong += 1
                first = first or f"chunk {chunk} on member {member}, sector {sector}"
    print(f"chunks {layout.chunks}, wrong copies {wrong}" + (f", the first {first}" if first else ""))
    sys.exit(wrong > 0)


if sys.argv[1] == "--share":
    share(*sys.argv[2:])
else:
    main()
