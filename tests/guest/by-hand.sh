#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# vm: --smp 2 --disk a:64M --disk b:64M --disk c:64M
#
# Arrays without superblocks: built from what an ioctl says, and set up through sysfs by a program that keeps the
# metadata itself, here this script.
set -euo pipefail
# shellcheck source=tests/lib/guest.sh
source "$(dirname "$0")/../lib/guest.sh"

put N $MD_PARAMS/legacy_async_del_gendisk
MD=/sys/block/md0/md

step "linear, raid0 and raid1 are built without superblocks"
for level in linear 0; do
	mdadm --quiet --build /dev/md0 --level=$level --raid-devices=3 /dev/vda /dev/vdb /dev/vdc
	same "metadata_version" none "$(cat $MD/metadata_version)"
	size=$(cat /sys/block/md0/size)
	((size >= 3 * 131072 - 3 * 1024)) || fail "the array has $size sectors"
	dd if=/dev/urandom of=/dev/md0 bs=1M count=180 oflag=direct status=none
	before=$(sha256sum </dev/md0)
	mdadm --quiet --stop /dev/md0
	mdadm --quiet --build /dev/md0 --level=$level --raid-devices=3 /dev/vda /dev/vdb /dev/vdc
	same "the data" "$before" "$(sha256sum </dev/md0)"
	mdadm --quiet --stop /dev/md0
done
mdadm --quiet --build /dev/md0 --level=1 --raid-devices=2 /dev/vda /dev/vdb
becomes "resync_start" none $MD/resync_start
cmp /dev/vda /dev/vdb || fail "the legs differ"
grep -q 'active raid1 vdb\[1\] vda\[0\]' /proc/mdstat || fail "$(cat /proc/mdstat)"
mdadm --quiet --stop /dev/md0
mdadm --quiet --build /dev/md0 --assume-clean --level=1 --raid-devices=2 /dev/vda /dev/vdb
same "resync_start" none "$(cat $MD/resync_start)"
mdadm --quiet /dev/md0 --fail /dev/vdb
mdadm --quiet /dev/md0 --remove /dev/vdb
! mdadm --quiet /dev/md0 --re-add /dev/vdb 2>/dev/null || fail "a member without superblock was re-added"
mdadm --quiet --stop /dev/md0

step "a program sets up an array with metadata of its own"
new_array md0
takes external:test $MD/metadata_version
takes raid1 $MD/level
takes 2 $MD/raid_disks
put "$(cat /sys/block/vda/dev)" $MD/new_dev
put "$(cat /sys/block/vdb/dev)" $MD/new_dev
refuses EEXIST "$(cat /sys/block/vda/dev)" $MD/new_dev
refuses EBUSY 1.2 $MD/metadata_version
takes external:other $MD/metadata_version
for member in vda vdb; do
	same "size of $member" 0 "$(cat $MD/dev-$member/size)"
	takes 1024 $MD/dev-$member/offset
	takes 32768 $MD/dev-$member/size
	refuses EBUSY 2048 $MD/dev-$member/offset
done
takes 32768 $MD/component_size
takes 0 $MD/dev-vda/slot
takes 1 $MD/dev-vdb/slot
put none $MD/resync_start
same "array_state" inactive "$(cat $MD/array_state)"
put readonly $MD/array_state
same "array_state" readonly "$(cat $MD/array_state)"
put active $MD/array_state
same "size" 65536 "$(cat /sys/block/md0/size)"
grep -q 'super external:other' /proc/mdstat || fail "$(cat /proc/mdstat)"
mdadm --detail /dev/md0 | grep -q 'Raid Level : raid1$' || fail "no level: $(mdadm --detail /dev/md0)"

step "an array does not get the sectors of another"
new_array md1
put external:test /sys/block/md1/md/metadata_version
put "$(cat /sys/block/vda/dev)" /sys/block/md1/md/new_dev
other=/sys/block/md1/md/dev-vda
takes 66559 $other/offset
refuses EBUSY 1024 $other/size
takes 66560 $other/offset
takes 1024 $other/size
refuses EBUSY 66560 $other/offset
takes 512 $other/size
takes 0 $other/size
takes 0 $other/offset
takes 512 $other/size
refuses EBUSY 513 $other/size
takes 4096 /sys/block/md1/md/component_size
refuses EINVAL 1024 $other/size
takes raid1 /sys/block/md1/md/level
takes 2 /sys/block/md1/md/raid_disks
takes 0 $other/slot
refuses EINVAL active /sys/block/md1/md/array_state
put clear /sys/block/md1/md/array_state
[[ ! -e /sys/block/md1 ]] || fail "md1 is still there"

step "the first write waits until the program has recorded it"
put 1 $MD/safe_mode_delay
same "array_state" clean "$(cat $MD/array_state)"
dd if=/dev/urandom of=/dev/md0 bs=4k count=1 oflag=direct status=none &
writer=$!
becomes "array_state" write-pending $MD/array_state
sleep 1
kill -0 $writer || fail "the write did not wait"
refuses EBUSY clean $MD/array_state
# Who is to record it may ask for this first.
within 30 errno_of put none $MD/dev-vda/slot >/tmp/said || fail "who is to record it waits for the write"
same "no slot for vda" EBUSY "$(cat /tmp/said)"
put active $MD/array_state
wait $writer || fail "the write failed"
becomes "array_state" active-idle $MD/array_state
takes clean $MD/array_state

step "a failure is blocked until the program has recorded it"
put 100 $MD/safe_mode_delay
put faulty $MD/dev-vdb/state
same "state of vdb" faulty,blocked "$(cat $MD/dev-vdb/state)"
put active $MD/array_state
dd if=/dev/urandom of=/dev/md0 bs=4k count=1 oflag=direct status=none &
writer=$!
sleep 1
kill -0 $writer || fail "the write did not wait"
becomes "array_state" write-pending $MD/array_state
put active $MD/array_state
sleep 1
kill -0 $writer || fail "the write did not wait for the failure"
put -blocked $MD/dev-vdb/state
wait $writer || fail "the write failed"
put remove $MD/dev-vdb/state
[[ ! -e $MD/dev-vdb ]] || fail "vdb is still there"

step "the program gives a spare its place"
put frozen $MD/sync_action
put "$(cat /sys/block/vdc/dev)" $MD/new_dev
same "slot of vdc" none "$(cat $MD/dev-vdc/slot)"
takes 1024 $MD/dev-vdc/offset
takes 32768 $MD/dev-vdc/size
takes 0 $MD/dev-vdc/recovery_start
takes 1 $MD/dev-vdc/slot
put recover $MD/sync_action
becomes "sync_action" idle $MD/sync_action
becomes "state of vdc" in_sync $MD/dev-vdc/state
cmp <(dd if=/dev/vda bs=512 skip=1024 count=65536 status=none) \
	<(dd if=/dev/vdc bs=512 skip=1024 count=65536 status=none) || fail "the legs differ"
[[ $(cat $MD/array_state) == active* ]] || fail "array_state: $(cat $MD/array_state)"
takes clean $MD/array_state
put inactive $MD/array_state
same "array_state" inactive "$(cat $MD/array_state)"
put clear $MD/array_state
[[ ! -e /sys/block/md0 ]] || fail "md0 is still there"

# with_bad: an array, whose metadata a program keeps, of vda and of vdb with 4 KiB that cannot be written.
with_bad() {
	dmsetup create bad --table "0 32768 linear /dev/vdb 0
32768 8 error
32776 98296 linear /dev/vdb 32776"
	settled
	new_array md0
	put external:test $MD/metadata_version
	put raid1 $MD/level
	put 2 $MD/raid_disks
	local member slot=0
	for member in vda dm-0; do
		put "$(cat /sys/block/$member/dev)" $MD/new_dev
		put 1024 $MD/dev-$member/offset
		put 32768 $MD/dev-$member/size
		put $slot $MD/dev-$member/slot
		slot=$((slot + 1))
	done
	put 32768 $MD/component_size
	refuses EINVAL 16384 $MD/dev-vda/size
	put none $MD/resync_start
}

# write_bad: begins to write what cannot be written on one member; its number is in `writer`.
write_bad() {
	put active $MD/array_state
	dd if=/dev/urandom of=/dev/md0 bs=4k count=1 seek=$(((32768 - 1024) / 8)) oflag=direct conv=notrunc status=none &
	writer=$!
	becomes "array_state" write-pending $MD/array_state
	put active $MD/array_state
}

# without_bad: the array and the member are gone.
without_bad() {
	settled
	put clear $MD/array_state
	settled
	dmsetup remove --retry bad
}

step "a write that failed on a member ends when the program has recorded that the member has failed"
modprobe dm_mod
with_bad
write_bad
await "state of the member" faulty,blocked cut -d, -f1,2 $MD/dev-dm-0/state
sleep 1
kill -0 $writer || fail "the write did not wait for the failure to be recorded"
put -blocked $MD/dev-dm-0/state
put active $MD/array_state
wait $writer || fail "the write failed"
put remove $MD/dev-dm-0/state
without_bad

step "a write that found bad blocks ends when the program has recorded those"
with_bad
put external_bbl $MD/dev-dm-0/state
write_bad
becomes "unacknowledged_bad_blocks" "32768 8" $MD/dev-dm-0/unacknowledged_bad_blocks
sleep 1
kill -0 $writer || fail "the write did not wait for the bad blocks to be recorded"
put check $MD/sync_action
becomes "sync_action" check $MD/sync_action
# This holds all I/O back, once what is under way has ended.
put writemostly $MD/dev-vda/state &
waiter=$!
sleep 1
within 30 put idle $MD/sync_action || fail "a check waits for a write, and does not stop"
within 30 errno_of put remove $MD/dev-vda/state >/tmp/said || fail "who is to record it waits for the write"
same "removal of vda" EBUSY "$(cat /tmp/said)"
kill -0 $writer || fail "the write did not wait for the bad blocks to be recorded"
put "32768 8" $MD/dev-dm-0/bad_blocks
put -blocked $MD/dev-dm-0/state
put active $MD/array_state
wait $writer || fail "the write failed"
wait $waiter || fail "vda does not become write-mostly"
[[ $(cat $MD/dev-dm-0/state) == in_sync,* ]] || fail "state of the member: $(cat $MD/dev-dm-0/state)"
same "degraded" 0 "$(cat $MD/degraded)"
# Nobody records those of a member that has failed.
put "40000 8" $MD/dev-dm-0/unacknowledged_bad_blocks
put faulty $MD/dev-dm-0/state
put -blocked $MD/dev-dm-0/state
put remove $MD/dev-dm-0/state
[[ ! -e $MD/dev-dm-0 ]] || fail "the member is still there"
without_bad
rmmod md_mod
