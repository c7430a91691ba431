#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# vm: --smp 2 --disk a:64M --disk b:64M --disk c:64M --disk d:64M --timeout 1200
#
# Arrays that change their shape while they run: linear gets a member, raid1 gets more and fewer slots and uses more and
# less of its members, devices grow below it; and what must be refused.
set -euo pipefail
# shellcheck source=tests/lib/guest.sh
source "$(dirname "$0")/../lib/guest.sh"

put N $MD_PARAMS/legacy_async_del_gendisk
MD=/sys/block/md0/md

# data BYTES: a checksum of the beginning of the array.
data() { dd if=/dev/md0 bs=1M iflag=direct,count_bytes count="$1" status=none | sha256sum; }

# leg DEVICE SECTORS: a checksum of the data of a member, from media.
leg() {
	local offset
	offset=$(mdadm --examine "$1" | awk '/Data Offset/ { print $4 }')
	dd if="$1" bs=1M iflag=direct,skip_bytes,count_bytes skip=$((${offset:-0} * 512)) count=$(($2 * 512)) status=none |
		sha256sum | cut -d' ' -f1
}

mapfile -t VERSIONS < <(printf '%s\n' 0.90 'long 1.0' 1.2 | rows)
for version in "${VERSIONS[@]}"; do
	step "a linear array of version $version gets members at its end"
	mdadm --quiet --create /dev/md0 --run --force --metadata="$version" --level=linear --raid-devices=1 /dev/vda
	size=$(cat /sys/block/md0/size)
	dd if=/dev/urandom of=/dev/md0 bs=1M count=4 oflag=direct status=none
	before=$(data $((size * 512)))
	mdadm --quiet --grow /dev/md0 --add /dev/vdb
	mdadm --quiet --grow /dev/md0 --add /dev/vdc
	same "raid_disks" 3 "$(cat $MD/raid_disks)"
	same "link of slot 2" vdc "$(basename "$(readlink -f $MD/rd2/block)")"
	grown=$(cat /sys/block/md0/size)
	((grown > 2 * size)) || fail "the array has $grown sectors, one member $size"
	same "the data" "$before" "$(data $((size * 512)))"
	dd if=/dev/urandom of=/dev/md0 bs=512 seek=$((grown - 2048)) count=2048 oflag=direct status=none
	all=$(data $((grown * 512)))
	mdadm --quiet --stop /dev/md0
	mdadm --quiet --assemble /dev/md0 /dev/vda /dev/vdb /dev/vdc
	same "the data after an assembly" "$all" "$(data $((grown * 512)))"
	mdadm --quiet --stop /dev/md0
	mdadm --quiet --zero-superblock /dev/vda /dev/vdb /dev/vdc
done

step "a raid1 gets a slot, and closes up when it has one less"
mdadm --quiet --create /dev/md0 --run --bitmap=none --level=1 --raid-devices=2 --spare-devices=1 \
	/dev/vda /dev/vdb /dev/vdc
idle
dd if=/dev/urandom of=/dev/md0 bs=1M count=8 oflag=direct status=none
before=$(data 8M)
mdadm --quiet --grow /dev/md0 --raid-devices=3
idle
shape "[3/3] [UUU]"
refuses EBUSY 2 $MD/raid_disks
mdadm --quiet /dev/md0 --fail /dev/vda
shape "[3/2] [_UU]"
mdadm --quiet --grow /dev/md0 --raid-devices=2
shape "[2/2] [UU]"
same "slot of vdb" 0 "$(cat $MD/dev-vdb/slot)"
same "slot of vdc" 1 "$(cat $MD/dev-vdc/slot)"
same "rd0" vdb "$(basename "$(readlink -f $MD/rd0/block)")"
[[ ! -e $MD/rd2 ]] || fail "rd2 is still there"
same "the data" "$before" "$(data 8M)"
refuses EINVAL 0 $MD/raid_disks
refuses EINVAL 1920 $MD/raid_disks
mdadm --quiet --stop /dev/md0
mdadm --quiet --assemble /dev/md0 /dev/vdb /dev/vdc
shape "[2/2] [UU]"
same "the data" "$before" "$(data 8M)"
mdadm --quiet --stop /dev/md0
mdadm --quiet --zero-superblock /dev/vda /dev/vdb /dev/vdc

for version in "${VERSIONS[@]}"; do
	step "a raid1 of version $version uses more of its members, and only the new space is resynced"
	dd if=/dev/urandom of=/dev/vda bs=1M count=64 oflag=direct status=none
	mdadm --quiet --create /dev/md0 --run --bitmap=none --metadata="$version" --level=1 --raid-devices=2 --size=20000 \
		--assume-clean /dev/vda /dev/vdb
	same "size" 40000 "$(cat /sys/block/md0/size)"
	put frozen $MD/sync_action
	mdadm --quiet --grow /dev/md0 --size=max
	same "resync_start" 40000 "$(cat $MD/resync_start)"
	size=$(cat /sys/block/md0/size)
	((size > 100000)) || fail "the array has $size sectors"
	put idle $MD/sync_action
	becomes "resync_start" none $MD/resync_start
	idle
	# What was there before was said to be clean, so nobody has touched it.
	[[ $(leg /dev/vda 40000) != $(leg /dev/vdb 40000) ]] || fail "the old space was resynced"
	offset=$(mdadm --examine /dev/vda | awk '/Data Offset/ { print $4 }')
	for member in a b; do
		dd if=/dev/vd$member bs=1M iflag=direct,skip_bytes,count_bytes skip=$(((${offset:-0} + 40000) * 512)) \
			count=$(((size - 40000) * 512)) status=none | sha256sum >/tmp/new-$member
	done
	cmp /tmp/new-a /tmp/new-b || fail "the new space differs"
	refuses ENOSPC 100000000 $MD/component_size
	mdadm --quiet --grow /dev/md0 --size=20000
	same "size" 40000 "$(cat /sys/block/md0/size)"
	same "sync_action" idle "$(cat $MD/sync_action)"
	refuses EBUSY 1000 $MD/dev-vda/size
	mdadm --quiet --stop /dev/md0
	mdadm --quiet --assemble /dev/md0 /dev/vda /dev/vdb
	same "size" 40000 "$(cat /sys/block/md0/size)"
	mdadm --quiet --stop /dev/md0
	mdadm --quiet --zero-superblock /dev/vda /dev/vdb
done

modprobe loop
for version in "${VERSIONS[@]}"; do
	step "devices grow below a raid1 of version $version: the superblock follows the end"
	truncate -s 32M /tmp/one /tmp/two
	one=$(losetup --show -f /tmp/one)
	two=$(losetup --show -f /tmp/two)
	mdadm --quiet --create /dev/md0 --run --bitmap=none --metadata="$version" --level=1 --raid-devices=2 "$one" "$two"
	idle
	size=$(cat /sys/block/md0/size)
	dd if=/dev/urandom of=/dev/md0 bs=1M count=8 oflag=direct status=none
	before=$(data 8M)
	truncate -s 48M /tmp/one /tmp/two
	losetup --set-capacity "$one"
	losetup --set-capacity "$two"
	# A record meanwhile goes where the superblock is.
	mdadm --quiet --grow /dev/md0 --size=max
	idle
	grown=$(cat /sys/block/md0/size)
	((grown >= size + 30000)) || fail "the array had $size sectors, and has $grown"
	same "the data" "$before" "$(data 8M)"
	mdadm --quiet --stop /dev/md0
	mdadm --quiet --assemble /dev/md0 "$one" "$two"
	same "size" "$grown" "$(cat /sys/block/md0/size)"
	shape "[2/2] [UU]"
	same "the data" "$before" "$(data 8M)"
	mdadm --quiet --stop /dev/md0
	losetup -d "$one" "$two"
	rm /tmp/one /tmp/two
done

step "no change of shape while a pass runs, or of an array that is read-only"
mdadm --quiet --create /dev/md0 --run --bitmap=none --level=1 --raid-devices=2 /dev/vda /dev/vdb
put 100 $MD/sync_speed_max
put 100 $MD/sync_speed_min
same "sync_action" resync "$(cat $MD/sync_action)"
refuses EBUSY 3 $MD/raid_disks
refuses EBUSY 20000 $MD/component_size
put system $MD/sync_speed_max
put system $MD/sync_speed_min
idle
mdadm --quiet --readonly /dev/md0
refuses EROFS 3 $MD/raid_disks
refuses EROFS 20000 $MD/component_size
mdadm --quiet --readwrite /dev/md0
takes 20000 $MD/array_size
same "size" 40000 "$(cat /sys/block/md0/size)"
refuses EINVAL 10000 $MD/component_size
takes default $MD/array_size
mdadm --quiet --stop /dev/md0

step "raid0 and linear have no such things"
mdadm --quiet --create /dev/md0 --run --level=0 --raid-devices=2 /dev/vda /dev/vdb
refuses EINVAL 3 $MD/raid_disks
refuses EINVAL 20000 $MD/component_size
mdadm --quiet --stop /dev/md0
rmmod md_mod
