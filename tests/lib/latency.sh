#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# In a guest of the test kernel under the instruction-counting clock: how long reads of one part of a mirror take while
# read errors are mended in another. Prints `@@cell raid1 none clean NAME VALUE us` for tests/lib/bench.py.

set -euo pipefail
# shellcheck source=tests/lib/guest.sh
source "$(dirname "$0")/guest.sh"

# bad: one sector of every block of 2 MiB in the second half of the first member cannot be read until it is written.
bad() {
	local offset block
	offset=$(cat /sys/block/md0/md/dev-dm-0/offset)
	for ((block = 0; block < 512; block++)); do
		dmsetup message dusty 0 addbadblock $((offset + 65536 + block * 8)) >/dev/null
	done
	dmsetup message dusty 0 enable
}

# quiet NAME: reads of the first quarter; its figures.
quiet() {
	fio --name=quiet --filename=/dev/md0 --rw=randread --bs=4k --size=16M --iodepth=4 --ioengine=libaio --direct=1 \
		--time_based --runtime=2 --output-format=json >/tmp/quiet.json
	jq -r --arg name "$1" '.jobs[0].read.clat_ns |
		"@@cell raid1 none clean \($name)-p99 \(.percentile["99.000000"] / 1000 | floor) us",
		"@@cell raid1 none clean \($name)-max \(.max / 1000 | floor) us"' /tmp/quiet.json
}

modprobe brd rd_nr=2 rd_size=65536 max_part=0
modprobe dm_dust
dmsetup create dusty --table '0 131072 dust /dev/ram0 0 512'
udevadm settle
mdadm --quiet --create /dev/md0 --run --assume-clean --bitmap=none --level=1 --raid-devices=2 /dev/mapper/dusty \
	/dev/ram1
put 1000000 /sys/block/md0/md/max_read_errors
quiet undisturbed
bad
fio --name=mended --filename=/dev/md0 --offset=32M --rw=randread --bs=4k --size=2M --iodepth=8 --ioengine=libaio \
	--direct=1 --time_based --runtime=2 --output=/dev/null &
quiet disturbed
wait
echo "errors: $(cat /sys/block/md0/md/dev-dm-0/errors), state: $(cat /sys/block/md0/md/dev-dm-0/state)"
same degraded 0 "$(cat /sys/block/md0/md/degraded)"
mdadm --quiet --stop /dev/md0
