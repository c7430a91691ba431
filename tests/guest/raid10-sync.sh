#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# vm: --smp 2 --disk a:24M --disk b:24M --disk c:24M --disk d:24M --disk e:24M --disk f:24M --timeout 1200
#
# The passes of a raid10: resync by array sector when it is new and after a crash, check and repair; recovery of two
# members at once by their own sectors, under load, stopped and gone on with.
set -euo pipefail
# shellcheck source=tests/lib/guest.sh
source "$(dirname "$0")/../lib/guest.sh"

put N $MD_PARAMS/legacy_async_del_gendisk
MD=/sys/block/md0/md
DISKS=(/dev/vda /dev/vdb /dev/vdc /dev/vdd /dev/vde /dev/vdf)

for disk in "${DISKS[@]}"; do
	dd if=/dev/urandom of="$disk" bs=1M status=none oflag=direct 2>/dev/null || true
done

while read -r layout members fails; do
	disks=("${DISKS[@]:0:members}")
	step "$layout on $members: a new array is resynced"
	mdadm --quiet --create /dev/md0 --run --bitmap=none --level=10 --layout="$layout" --chunk=16 \
		--raid-devices="$members" "${disks[@]}"
	idle
	same "last_sync_action" resync "$(cat $MD/last_sync_action)"
	same "resync_start" none "$(cat $MD/resync_start)"
	copies "${disks[@]}"

	step "check finds what differs, repair mends it"
	put check $MD/sync_action
	idle
	same "mismatch_cnt" 0 "$(cat $MD/mismatch_cnt)"
	offset=$(mdadm --examine /dev/vdb | awk '/Data Offset/ { print $4 }')
	dd if=/dev/urandom of=/dev/vdb bs=512 seek=$((offset + 5000)) count=1 oflag=direct conv=notrunc status=none
	put check $MD/sync_action
	idle
	# A chunk for each copy that differs from the one that was read first, which may be the one that was changed.
	count=$(cat $MD/mismatch_cnt)
	((count == 32 || (count == 64 && ${layout#?} == 3))) || fail "mismatch_cnt: $count"
	put repair $MD/sync_action
	idle
	put check $MD/sync_action
	idle
	same "mismatch_cnt" 0 "$(cat $MD/mismatch_cnt)"
	copies "${disks[@]}"

	step "spares take the places of $fails, under load"
	fio --name=load --filename=/dev/md0 --rw=randwrite --bs=4k --size=8M --ioengine=libaio --iodepth=8 --direct=1 \
		--time_based --runtime=5 --verify=crc32c --verify_fatal=1 --verify_state_save=0 --output-format=terse \
		>/tmp/fio &
	load=$!
	sleep 0.5
	now=("${disks[@]}")
	spares=()
	put frozen $MD/sync_action
	for slot in ${fails//,/ }; do
		mdadm --quiet /dev/md0 --fail "${disks[slot]}" --remove "${disks[slot]}"
		spare=${DISKS[members + ${#spares[@]}]}
		mdadm --quiet --zero-superblock "$spare" 2>/dev/null || true
		spares+=("$spare")
	done
	mdadm --quiet /dev/md0 --add "${spares[@]}"
	put idle $MD/sync_action
	idle
	shape "[$members/$members] ["
	same "last_sync_action" recover "$(cat $MD/last_sync_action)"
	same "degraded" 0 "$(cat $MD/degraded)"
	for spare in "${spares[@]}"; do
		now[$(cat "$MD/dev-${spare##*/}/slot")]=$spare
	done
	wait $load || fail "fio failed: $(cat /tmp/fio)"
	copies "${now[@]}"

	step "a stopped recovery goes on after an assembly"
	put 1000 $MD/sync_speed_max
	put 1000 $MD/sync_speed_min
	slot=${fails%%,*}
	mdadm --quiet /dev/md0 --fail "${now[slot]}" --remove "${now[slot]}"
	mdadm --quiet --zero-superblock "${disks[slot]}"
	now[slot]=${disks[slot]}
	mdadm --quiet /dev/md0 --add "${now[slot]}"
	becomes "sync_action" recover $MD/sync_action
	sleep 3
	grep -q 'recovery = ' /proc/mdstat || fail "no progress: $(cat /proc/mdstat)"
	mdadm --quiet --stop /dev/md0
	mdadm --examine "${now[slot]}" | grep -q 'Recovery Offset : [1-9]' ||
		fail "no progress is recorded: $(mdadm --examine "${now[slot]}")"
	mdadm --quiet --assemble /dev/md0 "${now[@]}"
	idle
	shape "[$members/$members] ["
	copies "${now[@]}"

	step "after a crash the copies are made to agree"
	put 100 $MD/safe_mode_delay
	dd if=/dev/urandom of=/dev/md0 bs=1M count=4 oflag=direct status=none
	same "array_state" active "$(cat $MD/array_state)"
	# The members as they are now, clean or not, are what a crash leaves.
	for slot in "${!now[@]}"; do
		dd if="${now[slot]}" of="/tmp/leg$slot" bs=1M iflag=direct status=none
	done
	mdadm --quiet --stop /dev/md0
	for slot in "${!now[@]}"; do
		dd if="/tmp/leg$slot" of="${now[slot]}" bs=1M oflag=direct status=none
	done
	offset=$(mdadm --examine "${now[1]}" | awk '/Data Offset/ { print $4 }')
	dd if=/dev/urandom of="${now[1]}" bs=512 seek=$((offset + 9000)) count=64 oflag=direct conv=notrunc status=none
	mdadm --quiet --assemble /dev/md0 "${now[@]}"
	idle
	same "last_sync_action" resync "$(cat $MD/last_sync_action)"
	copies "${now[@]}"
	mdadm --quiet --stop /dev/md0
	mdadm --quiet --zero-superblock "${now[@]}"
done < <(rows <<-'LAYOUTS'
	n2 4 0,3
	long n2 3 1
	f2 3 0
	long o3 4 1,2
LAYOUTS
)
rmmod md_mod
