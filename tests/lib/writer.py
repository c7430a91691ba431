#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Writes whose acknowledgements outlive the machine, and what must be found of them afterwards.

writer.py write NAME DEVICE FIRST COUNT [WORKERS [BLOCKS]]
    writes 4 KiB blocks at random places of DEVICE (of its first BLOCKS; 0: all), past the page cache, COUNT by each of
    WORKERS (0: for ever). Each block holds its number and a sequence number, from FIRST upwards; when the write has
    returned, a line `@@ack NAME BLOCK SEQUENCE` goes to standard output.
writer.py verify NAME DEVICE ACKS
    every acknowledged block of NAME in the file ACKS (lines `NAME BLOCK SEQUENCE`) is there with the acknowledged
    sequence number or a later one: later writes may have reached the disk before they could be acknowledged.
"""

import mmap
import os
import random
import struct
import sys

BLOCK = 4096
CHUNK = 1 << 20


def content(block, sequence):
    return struct.pack("<Q", block) + struct.pack("<Q", sequence) * (BLOCK // 8 - 1)


def size_of(fd):
    return os.lseek(fd, 0, os.SEEK_END)


def work(name, device, first, count, worker, workers, most):
    fd = os.open(device, os.O_WRONLY | os.O_DIRECT)
    buffer = mmap.mmap(-1, BLOCK)
    # A worker has blocks of its own, so that sequence numbers of a block only grow.
    blocks = (most or size_of(fd) // BLOCK) // workers
    places = random.Random(first * workers + worker)
    done = 0
    while count == 0 or done < count:
        block = places.randrange(blocks) * workers + worker
        sequence = first + done
        buffer[:] = content(block, sequence)
        if os.pwritev(fd, [buffer], block * BLOCK) != BLOCK:
            sys.exit(f"{device}: a short write")
        os.write(1, f"@@ack {name} {block} {sequence}\n".encode())
        done += 1


def write(name, device, first, count, workers=2, most=0):
    children = []
    for worker in range(workers):
        child = os.fork()
        if child == 0:
            work(name, device, first, count, worker, workers, most)
            os._exit(0)
        children.append(child)
    if any(os.waitpid(child, 0)[1] for child in children):
        sys.exit(f"{device}: a writer failed")


def check(data, block, sequence):
    """What is wrong with a block, or None."""
    number, found = struct.unpack_from("<QQ", data)
    if data != content(number, found):
        return f"a mixture: block {number}, sequence {found}, and others"
    if number != block:
        return f"block {number}"
    if found < sequence:
        return f"sequence {found}, but {sequence} was acknowledged"
    return None


def verify(name, device, acks):
    wanted = {}
    with open(acks, encoding="ascii") as lines:
        for line in lines:
            words = line.split()
            if words[0] == name:
                wanted[int(words[1])] = max(int(words[2]), wanted.get(int(words[1]), 0))
    fd = os.open(device, os.O_RDONLY | os.O_DIRECT)
    buffer = mmap.mmap(-1, CHUNK)
    wrong = 0
    for chunk in sorted({block * BLOCK // CHUNK for block in wanted}):
        length = os.preadv(fd, [buffer], chunk * CHUNK)
        for block in range(chunk * CHUNK // BLOCK, (chunk * CHUNK + length) // BLOCK):
            if block in wanted:
                at = block * BLOCK - chunk * CHUNK
                complaint = check(buffer[at:at + BLOCK], block, wanted[block])
                if complaint:
                    wrong += 1
                    print(f"{device}: block {block}: {complaint}")
    print(f"{device}: {len(wanted)} acknowledged blocks, {wrong} wrong")
    sys.exit(wrong != 0)


if sys.argv[1] == "write":
    write(sys.argv[2], sys.argv[3], *map(int, sys.argv[4:]))
else:
    verify(*sys.argv[2:])
