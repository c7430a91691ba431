#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# vm: --smp 2 --disk a:9M --disk b:9M --disk c:9M --disk d:9M --disk e:6M
#
# A running array gets another level and keeps its data: raid0 becomes raid10 and raid10 raid0, raid1 becomes raid0; by
# hand and by mdadm, idle and under load; and what is refused changes nothing.
set -euo pipefail
# shellcheck source=tests/lib/guest.sh
source "$(dirname "$0")/../lib/guest.sh"

put N $MD_PARAMS/legacy_async_del_gendisk
MD=/sys/block/md0/md

# data: a checksum of all of the array, from media.
data() { dd if=/dev/md0 bs=1M iflag=direct status=none | md5sum; }

# fill: random data everywhere.
fill() {
	local size
	size=$(cat /sys/block/md0/size)
	dd if=/dev/urandom of=/dev/md0 bs=1M oflag=direct,nonblock iflag=count_bytes count=$((size * 512)) status=none
}

# without DEVICE...: members leave.
without() {
	local device
	for device in "$@"; do
		mdadm --quiet /dev/md0 --fail "$device"
		mdadm --quiet /dev/md0 --remove "$device"
		mdadm --quiet --zero-superblock "$device"
	done
}

has_passes() {
	[[ -e $MD/sync_action && -e $MD/suspend_lo && -e $MD/degraded ]] || fail "no files of passes: $(ls $MD)"
}
has_no_passes() {
	[[ ! -e $MD/sync_action && ! -e $MD/suspend_lo && ! -e $MD/degraded ]] || fail "files of passes: $(ls $MD)"
}

for version in 0.90 1.2; do
	step "version $version: a raid0 becomes a raid10, gets its mirrors, loses the first ones, and becomes a raid0"
	mdadm --quiet --create /dev/md0 --run --metadata=$version --level=0 --chunk=32 --raid-devices=2 /dev/vda /dev/vdb
	has_no_passes
	size=$(cat /sys/block/md0/size)
	fill
	before=$(data)
	takes raid10 $MD/level
	has_passes
	shape "active raid10"
	shape "[4/2] [U_U_]"
	same "raid_disks" 4 "$(cat $MD/raid_disks)"
	same "layout" 258 "$(cat $MD/layout)"
	same "chunk_size" 32768 "$(cat $MD/chunk_size)"
	same "size" "$size" "$(cat /sys/block/md0/size)"
	same "component_size" $((size / 4)) "$(cat $MD/component_size)"
	same "resync_start" none "$(cat $MD/resync_start)"
	same "rd0" vda "$(basename "$(readlink -f $MD/rd0/block)")"
	same "rd2" vdb "$(basename "$(readlink -f $MD/rd2/block)")"
	[[ ! -e $MD/rd1 ]] || fail "rd1 is there"
	same "the data" "$before" "$(data)"
	mdadm --quiet /dev/md0 --add /dev/vdc /dev/vdd
	idle
	shape "[4/4] [UUUU]"
	mdadm --quiet --stop /dev/md0
	mdadm --quiet --assemble /dev/md0 /dev/vda /dev/vdb /dev/vdc /dev/vdd
	shape "[4/4] [UUUU]"
	same "the data" "$before" "$(data)"
	put check $MD/sync_action
	idle
	same "mismatch_cnt" 0 "$(cat $MD/mismatch_cnt)"

	refuses EINVAL raid0 $MD/level
	without /dev/vda
	refuses EINVAL raid0 $MD/level
	without /dev/vdb
	# The mirrors, wherever they were taken.
	shape "[4/2]"
	takes raid0 $MD/level
	has_no_passes
	same "raid_disks" 2 "$(cat $MD/raid_disks)"
	same "size" "$size" "$(cat /sys/block/md0/size)"
	same "array_state" clean "$(cat $MD/array_state)"
	same "the data" "$before" "$(data)"
	mdadm --quiet --stop /dev/md0
	mdadm --quiet --assemble /dev/md0 /dev/vdc /dev/vdd
	same "level" raid0 "$(cat $MD/level)"
	same "size" "$size" "$(cat /sys/block/md0/size)"
	same "the data" "$before" "$(data)"
	mdadm --quiet --stop /dev/md0
	mdadm --quiet --zero-superblock /dev/vdc /dev/vdd
done

step "mdadm makes a raid1 of three a raid0 of one"
mdadm --quiet --create /dev/md0 --run --bitmap=internal --level=1 --raid-devices=3 --size=7168 --assume-clean \
	/dev/vda /dev/vdb /dev/vdc
fill
before=$(data)
refuses EBUSY raid0 $MD/level
mdadm --quiet --grow /dev/md0 --bitmap=none
refuses EINVAL raid0 $MD/level
refuses EINVAL linear $MD/level
takes raid1 $MD/level
# It fails and removes all members but one.
mdadm --quiet --grow /dev/md0 --level=0
has_no_passes
same "level" raid0 "$(cat $MD/level)"
same "raid_disks" 1 "$(cat $MD/raid_disks)"
# The largest power of two that divides the size.
same "chunk_size" 65536 "$(cat $MD/chunk_size)"
same "the data" "$before" "$(dd if=/dev/md0 bs=1M iflag=direct,count_bytes count=7340032 status=none | md5sum)"
mdadm --quiet --stop /dev/md0
mdadm --quiet --zero-superblock /dev/vda /dev/vdb /dev/vdc

step "mdadm makes a raid0 a raid10, and adds members to it"
mdadm --quiet --create /dev/md0 --run --level=0 --chunk=64 --raid-devices=2 /dev/vda /dev/vdb
fill
before=$(data)
mdadm --quiet --grow /dev/md0 --level=10 --add /dev/vdc /dev/vdd
idle
shape "[4/4] [UUUU]"
same "the data" "$before" "$(data)"
mdadm --quiet --grow /dev/md0 --level=0
same "level" raid0 "$(cat $MD/level)"
same "the data" "$before" "$(data)"
mdadm --quiet --stop /dev/md0
mdadm --quiet --zero-superblock /dev/vda /dev/vdb /dev/vdc /dev/vdd

step "levels come and go under load, while somebody reads their files"
mdadm --quiet --create /dev/md0 --run --level=0 --chunk=64 --raid-devices=2 /dev/vda /dev/vdb
settled
(while [[ ! -e /tmp/enough ]]; do cat $MD/sync_action $MD/suspend_lo $MD/degraded; done >/dev/null 2>&1) &
reader=$!
fio --name=load --filename=/dev/md0 --direct=1 --rw=randwrite --bs=4k --size=8M --ioengine=libaio --iodepth=8 \
	--verify=crc32c --verify_fatal=1 --time_based --runtime=8 >/tmp/fio 2>&1 &
load=$!
for ((i = 0; i < 6; i++)); do
	takes raid10 $MD/level
	sleep 0.3
	takes raid0 $MD/level
	sleep 0.3
done
wait $load || fail "the load: $(cat /tmp/fio)"
touch /tmp/enough
wait $reader || true
mdadm --quiet --stop /dev/md0

step "what is refused changes nothing"
mdadm --quiet --assemble /dev/md0 /dev/vda /dev/vdb
same "level" raid0 "$(cat $MD/level)"
for level in raid1 linear raid7 container 2 "\n"; do
	refuses EINVAL "$level" $MD/level
done
mdadm --quiet --readonly /dev/md0
refuses EROFS raid10 $MD/level
mdadm --quiet --readwrite /dev/md0
mdadm --quiet --stop /dev/md0
mdadm --quiet --create /dev/md0 --run --level=0 --chunk=6 --raid-devices=2 /dev/vda /dev/vdb
refuses EINVAL raid10 $MD/level
same "raid_disks" 2 "$(cat $MD/raid_disks)"
has_no_passes
mdadm --quiet --stop /dev/md0
mdadm --quiet --create /dev/md0 --run --level=0 --raid-devices=2 /dev/vda /dev/vde
refuses EINVAL raid10 $MD/level
mdadm --quiet --stop /dev/md0
mdadm --quiet --create /dev/md0 --run --level=linear --raid-devices=2 /dev/vda /dev/vdb
refuses EINVAL raid0 $MD/level
refuses EINVAL raid10 $MD/level
takes linear $MD/level
mdadm --quiet --stop /dev/md0
mdadm --quiet --create /dev/md0 --run --bitmap=none --level=1 --raid-devices=2 /dev/vda /dev/vdb
put 100 $MD/sync_speed_max
put 100 $MD/sync_speed_min
same "sync_action" resync "$(cat $MD/sync_action)"
refuses EBUSY raid0 $MD/level
put idle $MD/sync_action || true
mdadm --quiet --stop /dev/md0
rmmod md_mod
