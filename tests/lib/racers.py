#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Reads and stores of an array's files from all sides, while somebody else changes the array.

racers.py NAME STOP
    until there is a file STOP: one thread reads the files of the array NAME that its bitmap comes and goes with, two
    store to some of them. Closes with how many reads and stores there were and what the stores came to. An error that no
    store should have is a failure, and so is a file that reads as nothing.
"""

import collections
import errno
import glob
import os
import random
import sys
import threading
import time

READ = ["array_state", "sync_action", "degraded", "bitmap_type", "bitmap/*", "llbitmap/*"]
STORES = {
    "bitmap/location": ["none", "+8", "+8", "+16", "-3", "x"],
    "bitmap/time_base": ["1", "5", "0"],
    "bitmap/backlog": ["0", "10"],
    "bitmap/space": ["2", "0"],
    "bitmap/can_clear": ["true"],
    "bitmap_set_bits": ["0-3", "1"],
    "llbitmap/daemon_sleep": ["1", "30"],
    "llbitmap/barrier_idle": ["1", "5"],
    "sync_action": ["check", "idle", "idle"],
    "safe_mode_delay": ["0.01", "0.2"],
}
# Not so: not now, no such thing, no such array or file, read-only, somebody was faster.
EXPECTED = {errno.EBUSY, errno.EINVAL, errno.ENODEV, errno.ENOENT, errno.EROFS, errno.EEXIST, errno.ENXIO}
# A file that is gone, or goes.
GONE = {errno.ENOENT, errno.ENODEV, errno.EBUSY}
# What may read as nothing: numbers that no level has.
EMPTY = {"can_clear", "space", "backlog"}


class Race:
    def __init__(self, name, stop):
        self.md = f"/sys/block/{name}/md"
        self.stop = stop
        self.reads = 0
        self.stores = collections.Counter()
        self.wrong = []

    def goes_on(self):
        # A slice of time for others: the machine may have one processor.
        time.sleep(random.random() / 50)
        return not self.wrong and not os.path.exists(self.stop)

    def read(self):
        while self.goes_on():
            paths = [path for name in READ for path in glob.glob(f"{self.md}/{name}")]
            for path in paths + ["/proc/mdstat"]:
                try:
                    with open(path) as file:
                        text = file.read()
                except PermissionError:
                    continue
                except OSError as error:
                    if error.errno not in GONE:
                        self.wrong.append(f"reading {path}: {error}")
                    continue
                self.reads += 1
                if not text and os.path.basename(path) not in EMPTY:
                    self.wrong.append(f"{path} reads as nothing")

    def store(self):
        while self.goes_on():
            name = random.choice(list(STORES))
            text = random.choice(STORES[name])
            try:
                fd = os.open(f"{self.md}/{name}", os.O_WRONLY)
                try:
                    os.write(fd, text.encode())
                finally:
                    os.close(fd)
                self.stores["taken"] += 1
            except OSError as error:
                self.stores[errno.errorcode[error.errno]] += 1
                if error.errno not in EXPECTED:
                    self.wrong.append(f"storing {text} to {name}: {error}")

    def run(self):
        threads = [threading.Thread(target=work) for work in (self.read, self.store, self.store)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        stores = ", ".join(f"{count} {what}" for what, count in self.stores.most_common())
        print(f"{self.reads} reads; stores: {stores}")
        if self.wrong:
            sys.exit("\n".join(self.wrong))
        if not self.reads or not self.stores["taken"]:
            sys.exit("nothing raced")


Race(sys.argv[1], sys.argv[2]).run()
