#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# vm: --smp 2 --disk a:24M --disk b:24M --disk c:24M --disk d:24M
#
# More of each member of a raid10 is used: near and offset copies, and far ones not.
set -euo pipefail
# shellcheck source=tests/lib/guest.sh
source "$(dirname "$0")/../lib/guest.sh"

put N $MD_PARAMS/legacy_async_del_gendisk
MD=/sys/block/md0/md
DISKS=(/dev/vda /dev/vdb /dev/vdc /dev/vdd)

for disk in "${DISKS[@]}"; do
	dd if=/dev/urandom of="$disk" bs=1M status=none oflag=direct 2>/dev/null || true
done

while read -r layout members grows; do
	step "$layout on $members"
	disks=("${DISKS[@]:0:members}")
	mdadm --quiet --create /dev/md0 --run --assume-clean --bitmap=none --level=10 --layout="$layout" --chunk=16 \
		--size=8M --raid-devices="$members" "${disks[@]}"
	before=$(cat /sys/block/md0/size)
	dd if=/dev/urandom of=/tmp/want bs=512 count="$before" status=none
	dd if=/tmp/want of=/dev/md0 bs=1M oflag=direct status=none
	if [[ $grows == yes ]]; then
		mdadm --quiet --grow /dev/md0 --size=16M
		mdadm --wait /dev/md0 || true
		same "component_size" 16384 "$(cat $MD/component_size)"
		same "size" $((before * 2)) "$(cat /sys/block/md0/size)"
		same "last_sync_action" resync "$(cat $MD/last_sync_action)"
		copies "${disks[@]}"
	else
		same "growth" EINVAL "$(errno_of put 16384 $MD/component_size)"
		same "size" "$before" "$(cat /sys/block/md0/size)"
	fi
	cmp -n $((before * 512)) /tmp/want /dev/md0 || fail "the data changed"
	mdadm --quiet --stop /dev/md0
	mdadm --quiet --assemble /dev/md0 "${disks[@]}"
	cmp -n $((before * 512)) /tmp/want /dev/md0 || fail "the data changed"
	copies "${disks[@]}"
	mdadm --quiet --stop /dev/md0
	mdadm --quiet --zero-superblock "${disks[@]}"
done <<-'LAYOUTS'
	n2 4 yes
	o2 3 yes
	f2 3 no
LAYOUTS
rmmod md_mod
