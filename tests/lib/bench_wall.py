#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""bench_wall.py BUILD LOG: table and BUILD/bench-wall.json from the log of `tests/lib/bench.sh wall`.

Both drivers are measured one after the other in each round, so what is compared is what one round has of them: the
ratio of a cell is the median of those of its rounds, and the lowest and the highest say how far to believe it.
"""

import json
import statistics
import sys


def rounds(path):
    """Of each cell, its unit and by round the value of each driver."""
    cells = {}
    with open(path, encoding="utf-8", errors="replace") as log:
        for line in log:
            if line.startswith("@@round "):
                number, driver, level, bitmap, start, workload, value, unit = line.split()[1:]
                _, by_round = cells.setdefault((level, bitmap, start, workload), (unit, {}))
                by_round.setdefault(int(number), {})[driver] = float(value)
    return cells


def records(cells):
    """As in bench.json: the median is the value, with what it is the median of beside it."""
    found = []
    for (level, bitmap, start, workload), (unit, by_round) in cells.items():
        for driver in ("c", "rust"):
            values = [both[driver] for both in by_round.values() if driver in both]
            if values:
                found.append({"driver": driver, "level": level, "bitmap": bitmap, "start": start,
                              "workload": workload, "value": statistics.median(values), "unit": unit,
                              "values": values})
    return found


def table(cells):
    print(f"{'level':8} {'bitmap':9} {'start':6} {'workload':10} {'C':>10} {'ours':>10} {'ratio':>7} "
          f"{'lowest':>7} {'highest':>7} {'rounds':>6}")
    for (level, bitmap, start, workload), (unit, by_round) in cells.items():
        full = [both for both in by_round.values() if len(both) == 2 and both["c"]]
        if not full:
            continue
        ratios = [both["rust"] / both["c"] for both in full]
        medians = [statistics.median(both[driver] for both in full) for driver in ("c", "rust")]
        print(f"{level:8} {bitmap:9} {start:6} {workload:10} {medians[0]:10,.0f} {medians[1]:10,.0f} "
              f"{statistics.median(ratios):7.3f} {min(ratios):7.3f} {max(ratios):7.3f} {len(full):6}  {unit}")


def main():
    build, log = sys.argv[1:]
    cells = rounds(log)
    if not cells:
        sys.exit(f"no cells: see {log}")
    with open(f"{build}/bench-wall.json", "w", encoding="utf-8") as file:
        json.dump(records(cells), file, indent=1)
        file.write("\n")
    table(cells)
    print("\nbuild/bench-wall.json")


main()
