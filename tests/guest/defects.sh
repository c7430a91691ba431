#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# vm: --smp 2 --disk a:16M --disk b:16M
#
# Defects of the C driver that are not repeated. By its source, not by a run: there the first step may end in a
# deadlock, the second leaves the level at work although the start has failed, the third has the bitmap count an empty
# range, and in the last the array with a bitmap may not start.
set -euo pipefail
# shellcheck source=tests/lib/guest.sh
source "$(dirname "$0")/../lib/guest.sh"

put N $MD_PARAMS/legacy_async_del_gendisk
MD=/sys/block/md0/md

create() {
	mdadm --quiet --create /dev/md0 --run --bitmap="$1" --level=1 --raid-devices=2 --assume-clean /dev/vda /dev/vdb
}

step "files of a bitmap are written while it and the array go"
touch /tmp/on
for file in location backlog time_base space can_clear; do
	(while [[ -e /tmp/on ]]; do put 5 $MD/bitmap/$file; done 2>/dev/null || true) &
done
for ((turn = 0; turn < 3; turn++)); do
	create internal
	for ((i = 0; i < 30; i++)); do
		put none $MD/bitmap/location 2>/dev/null && break
		sleep 0.1
	done
	same location none "$(cat $MD/bitmap/location)"
	mdadm --quiet --stop /dev/md0
done
rm /tmp/on
wait

step "an array whose bitmap cannot be read does not start, and nothing is left of the attempt"
create internal
mdadm --quiet --stop /dev/md0
# The bitmap is 8 sectors from the superblock, which is at sector 8.
for leg in vda vdb; do
	dd if=/dev/$leg of=/tmp/bitmap-$leg bs=512 skip=16 count=1 iflag=direct status=none
	dd if=/dev/zero of=/dev/$leg bs=512 seek=16 count=1 oflag=direct conv=notrunc status=none
done
! mdadm --quiet --assemble /dev/md0 /dev/vda /dev/vdb 2>/dev/null || fail "it started"
if [[ -e $MD/array_state ]]; then
	case $(cat $MD/array_state) in clear | inactive) ;; *) fail "it is $(cat $MD/array_state)" ;; esac
	mdadm --quiet --stop /dev/md0
fi
for leg in vda vdb; do
	dd if=/tmp/bitmap-$leg of=/dev/$leg bs=512 seek=16 count=1 oflag=direct conv=notrunc status=none
done
mdadm --quiet --assemble /dev/md0 /dev/vda /dev/vdb
same location +8 "$(cat $MD/bitmap/location)"

step "flushes and nothing else do not reach the bitmap"
for ((i = 0; i < 5; i++)); do
	dd if=/dev/zero of=/dev/md0 bs=4096 count=1 conv=fsync,notrunc status=none
	sync -d /dev/md0
done
mdadm --quiet --stop /dev/md0

step "an array without a bitmap leaves nothing behind for the next with one"
create none
mdadm --quiet --stop /dev/md0
create internal
same location +8 "$(cat $MD/bitmap/location)"
mdadm --quiet --stop /dev/md0
rmmod md_mod
