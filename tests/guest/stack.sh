#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# vm: --smp 2 --disk a:64M --disk b:64M --disk c:64M --disk d:64M
#
# How much of the kernel's stack is used: 16 KiB is all there is, and devices take theirs on top of ours. The kernel's
# stack tracer looks at every call and keeps the deepest.
set -euo pipefail
# shellcheck source=tests/lib/guest.sh
source "$(dirname "$0")/../lib/guest.sh"

# Of 16 KiB; a fourth is for devices that need more than those here, and for what interrupts.
LIMIT=12288
TRACING=/sys/kernel/tracing
MD=/sys/block/md0/md

mountpoint -q $TRACING || mount -t tracefs none $TRACING
[[ -e $TRACING/stack_max_size ]] || fail "this kernel has no stack tracer"
put N $MD_PARAMS/legacy_async_del_gendisk
modprobe dm_mod
modprobe scsi_debug dev_size_mb=64
udevadm settle
scsi=$(basename "$(echo /sys/bus/pseudo/drivers/scsi_debug/adapter0/host*/target*/*/block/*)")
echo 1 >/proc/sys/kernel/stack_tracer_enabled

# looked WHAT: none of the calls so far went too deep.
looked() {
	local deepest
	deepest=$(cat $TRACING/stack_max_size)
	echo "$1: $deepest bytes"
	((deepest <= LIMIT)) || ! grep -q '\[md_mod\]' $TRACING/stack_trace ||
		fail "$1: $deepest bytes of stack: $(cat $TRACING/stack_trace)"
	((deepest > 1000)) || fail "the stack tracer has seen nothing"
	echo 0 >$TRACING/stack_max_size
}

for level in 1 10; do
	for bitmap in none internal lockless; do
		step "raid$level with bitmap $bitmap"
		mdadm --quiet --create /dev/md0 --run --level=$level --bitmap=$bitmap --raid-devices=3 \
			/dev/vda /dev/vdb "/dev/$scsi" 2>/dev/null
		idle
		looked "create and resync"
		mkfs.ext4 -q /dev/md0
		mount /dev/md0 /mnt
		dd if=/dev/urandom of=/mnt/file bs=1M count=8 conv=fsync status=none
		mdadm --quiet /dev/md0 --fail "/dev/$scsi" --remove "/dev/$scsi"
		dd if=/dev/urandom of=/mnt/other bs=1M count=8 conv=fsync status=none
		mdadm --quiet /dev/md0 --add "/dev/$scsi"
		idle
		looked "file system and recovery"
		for pass in check repair; do
			put $pass $MD/sync_action
			idle
		done
		looked "check and repair"
		umount /mnt
		mdadm --quiet --stop /dev/md0
		mdadm --quiet --assemble /dev/md0 /dev/vda /dev/vdb "/dev/$scsi"
		looked "assembly"
		mdadm --quiet --stop /dev/md0
		mdadm --quiet --zero-superblock /dev/vda /dev/vdb "/dev/$scsi"
	done
done

step "a raid1 of which a part cannot be read anywhere, on which another array lies"
dmsetup create bad --table "0 65536 linear /dev/vda 0
65536 64 error
65600 65472 linear /dev/vda 65600"
settled
mdadm --quiet --create /dev/md1 --run --level=1 --bitmap=none --assume-clean --raid-devices=2 /dev/mapper/bad missing
mdadm --quiet --create /dev/md0 --run --level=1 --bitmap=none --assume-clean --raid-devices=2 /dev/md1 /dev/vdd
mdadm --quiet /dev/md1 --add /dev/vdb
MD=/sys/block/md1/md idle
mdadm --quiet /dev/md0 --fail /dev/vdd --remove /dev/vdd
mdadm --quiet /dev/md0 --add "/dev/$scsi"
idle
looked "nested arrays"
[[ -n $(cat /sys/block/md1/md/dev-vdb/bad_blocks) ]] || fail "nothing was bad"
mdadm --quiet --stop /dev/md0
mdadm --quiet --stop /dev/md1
dmsetup remove --retry bad
echo 0 >/proc/sys/kernel/stack_tracer_enabled
