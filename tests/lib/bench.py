#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""bench.py BUILD NAME C_LOG OURS_LOG: table, BUILD/NAME.json and BUILD/NAME.svg from the logs of tests/lib/bench.sh."""

import json
import sys

# A cell counts as slower from here on: two runs of one driver differ by less.
SLOWER = 0.995
# Where less is better.
COSTS = {"bytes", "us", "ns/MiB"}


def cells(path, driver):
    """The records of a log, in order."""
    found = []
    with open(path, encoding="utf-8", errors="replace") as log:
        for line in log:
            if line.startswith("@@cell "):
                level, bitmap, clean, workload, value, unit = line.split()[1:]
                found.append({"driver": driver, "level": level, "bitmap": bitmap, "start": clean,
                              "workload": workload, "value": float(value), "unit": unit})
    return found


def key(cell):
    return (cell["level"], cell["bitmap"], cell["start"], cell["workload"])


def compare(c, ours):
    """Rows (key, C's value, ours, ratio, unit); a ratio above 1 is in our favour."""
    by_key = {key(cell): cell for cell in c}
    rows = []
    for cell in ours:
        peer = by_key.pop(key(cell), None)
        theirs = peer["value"] if peer else None
        ratio = None
        if theirs and cell["value"]:
            ratio = theirs / cell["value"] if cell["unit"] in COSTS else cell["value"] / theirs
        rows.append((key(cell), theirs, cell["value"], ratio, cell["unit"]))
    rows += [(name, cell["value"], None, None, cell["unit"]) for name, cell in by_key.items()]
    return rows


def is_noise(row):
    """The raw device is the same for both."""
    return row[0][0] == "raw"


def table(rows):
    print(f"{'level':8} {'bitmap':9} {'start':6} {'workload':16} {'C':>12} {'ours':>12} {'ratio':>7}")
    for row in rows:
        (level, bitmap, start, workload), theirs, ours, ratio, unit = row
        figures = [f"{value:12,.0f}" if value is not None else f"{'-':>12}" for value in (theirs, ours)]
        note = " slower" if ratio is not None and ratio < SLOWER and not is_noise(row) else ""
        print(f"{level:8} {bitmap:9} {start:6} {workload:16} {figures[0]} {figures[1]} "
              f"{f'{ratio:7.3f}' if ratio else '      -'}  {unit}{note}")


def chart(rows, path):
    """A bar a cell: our value in parts of C's."""
    rows = [row for row in rows if row[3]]
    left, scale, height = 260, 400, 18
    top = 30
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + scale * 3 // 2 + 60}" '
           f'height="{top + height * len(rows) + 20}" font-family="sans-serif" font-size="12">',
           f'<text x="10" y="18">ours in parts of the C driver (line: equal; longer is better)</text>']
    for number, (name, _, _, ratio, _) in enumerate(rows):
        y = top + number * height
        label = " ".join(name if name[1] != "none" else (name[0], name[3]))
        colour = "#4a7" if ratio >= SLOWER else "#c54"
        width = min(ratio, 1.5) * scale
        out.append(f'<text x="{left - 8}" y="{y + 12}" text-anchor="end">{label}</text>')
        out.append(f'<rect x="{left}" y="{y + 2}" width="{width:.1f}" height="{height - 5}" fill="{colour}"/>')
        out.append(f'<text x="{left + width + 5:.1f}" y="{y + 12}">{ratio:.3f}</text>')
    out.append(f'<line x1="{left + scale}" y1="{top - 4}" x2="{left + scale}" y2="{top + height * len(rows)}" '
               'stroke="#000"/></svg>')
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(out) + "\n")


def main():
    build, name, c_log, ours_log = sys.argv[1:]
    c, ours = cells(c_log, "c"), cells(ours_log, "rust")
    if not c or not ours:
        sys.exit(f"no cells: see {c_log} and {ours_log}")
    with open(f"{build}/{name}.json", "w", encoding="utf-8") as file:
        json.dump(c + ours, file, indent=1)
        file.write("\n")
    rows = compare(c, ours)
    table(rows)
    chart(rows, f"{build}/{name}.svg")
    print(f"\nbuild/{name}.json, build/{name}.svg")
    slower = [row for row in rows if row[3] is not None and row[3] < SLOWER and not is_noise(row)]
    sys.exit(1 if slower else 0)


main()
