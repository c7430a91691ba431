#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# vm: --smp 2 --disk a:96M --disk b:96M
#
# Passes of arrays that share disks wait for each other, in the order in which they came; and writes that wait because
# their range is held.
set -euo pipefail
# shellcheck source=tests/lib/guest.sh
source "$(dirname "$0")/../lib/guest.sh"

put N $MD_PARAMS/legacy_async_del_gendisk
md() { echo "/sys/block/md$1/md"; }

lines() { grep -c "$1" /proc/mdstat || true; }

partitions 3 28 /dev/vda /dev/vdb

step "three arrays on the same two disks: one resyncs, two wait"
echo 500 >/proc/sys/dev/raid/speed_limit_max
echo 100 >/proc/sys/dev/raid/speed_limit_min
for n in 1 2 3; do
	mdadm --quiet --create /dev/md$n --run --bitmap=none --level=1 --raid-devices=2 /dev/vda$n /dev/vdb$n
done
becomes "action of md1" resync "$(md 1)/sync_action"
becomes "md2" delayed "$(md 2)/sync_completed"
becomes "md3" delayed "$(md 3)/sync_completed"
same "lines that say DELAYED" 2 "$(lines 'resync=DELAYED')"
same "lines with progress" 1 "$(lines 'resync = ')"

step "one that waits can be told to stop, stopped, and told not to wait"
put idle "$(md 2)/sync_action"
becomes "md2, which looks again," delayed "$(md 2)/sync_completed"
put frozen "$(md 2)/sync_action"
same "md2" none "$(cat "$(md 2)/sync_completed")"
same "its line" 1 "$(lines 'resync=PENDING')"
put idle "$(md 2)/sync_action"
becomes "md2" delayed "$(md 2)/sync_completed"
takes 1 "$(md 3)/sync_force_parallel"
for ((i = 0; i < 100; i++)); do
	(($(lines 'resync = ') == 2)) && break
	sleep 0.1
done
same "lines with progress" 2 "$(lines 'resync = ')"
mdadm --quiet --stop /dev/md3
same "md2 still waits" delayed "$(cat "$(md 2)/sync_completed")"

step "when the first is done the next goes on"
echo 200000 >/proc/sys/dev/raid/speed_limit_max
mdadm --wait /dev/md1 || true
mdadm --wait /dev/md2 || true
becomes "md1" idle "$(md 1)/sync_action"
becomes "md2" idle "$(md 2)/sync_action"
same "resync_start of md2" none "$(cat "$(md 2)/resync_start")"
same "members" 2 "$(lines '\[2/2\] \[UU\]')"
mdadm --quiet --stop /dev/md2
same "after a stop of one that waited, nothing waits" 0 "$(lines DELAYED)"

step "writes to a held range wait, others do not"
put 0 "$(md 1)/suspend_lo"
takes 2048 "$(md 1)/suspend_lo"
takes 4096 "$(md 1)/suspend_hi"
block() { dd if=/dev/zero of=/dev/md1 bs=512 seek="$1" count="$2" oflag=direct conv=notrunc status=none; }
# The one that ends where the range begins, and the one that begins where it ends.
timeout 20 bash -c "$(declare -f block); block 2040 8; block 4096 8" || fail "a write outside the range waits"
block 2048 8 &
waiting=$!
block 4088 16 &
also=$!
sleep 2
kill -0 $waiting || fail "a write into the range did not wait"
kill -0 $also || fail "a write across the end of the range did not wait"
timeout 20 dd if=/dev/md1 bs=512 skip=2048 count=8 iflag=direct of=/dev/null status=none || fail "a read waits"
takes 4096 "$(md 1)/suspend_lo"
wait $waiting || fail "a write failed"
wait $also || fail "a write failed"
refuses EINVAL x "$(md 1)/suspend_lo"
mdadm --quiet --stop /dev/md1
rmmod md_mod
