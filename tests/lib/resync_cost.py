#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""resync_cost.py MD COUNT: resyncs the array with its directory at MD so often; prints for each how many nanoseconds
of the only CPU a MiB of the array took.

Between its requests a resync sleeps, so how long it takes says little. Whatever time the CPU has left goes to a
process here that runs when nobody else wants to, and is not counted.
"""

import os
import select
import signal
import sys
import time


def spare():
    """Starts the process that takes what is left; its number."""
    pid = os.fork()
    if pid == 0:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        while True:
            pass
    return pid


def taken(pid):
    """The nanoseconds a process has run. Exact, as it does not run now."""
    with open(f"/proc/{pid}/schedstat", encoding="ascii") as file:
        return int(file.read().split()[0])


def put(path, word):
    with open(path, "w", encoding="ascii") as file:
        file.write(word)


def resync(md, pid):
    """One resync: the nanoseconds that it took, without those that were left."""
    put(f"{md}/sync_action", "frozen")
    put(f"{md}/resync_start", "0")
    with open(f"{md}/sync_action", "rb", buffering=0) as action:
        poll = select.poll()
        poll.register(action, select.POLLPRI | select.POLLERR)
        start, left = time.monotonic_ns(), taken(pid)
        put(f"{md}/sync_action", "idle")
        while True:
            poll.poll(50)
            with open(f"{md}/resync_start", encoding="ascii") as file:
                done = file.read() == "none\n"
            if os.pread(action.fileno(), 64, 0) == b"idle\n" and done:
                return time.monotonic_ns() - start - (taken(pid) - left)


def main():
    md, count = sys.argv[1], int(sys.argv[2])
    with open(f"{md}/../size", encoding="ascii") as file:
        mib = int(file.read()) / 2048
    pid = spare()
    try:
        for _ in range(count):
            print(f"{resync(md, pid) / mib:.0f}")
    finally:
        os.kill(pid, signal.SIGKILL)


main()
