#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# churn.sh SECONDS [LEVEL:BITMAP...]: in a guest, the whole life of arrays over and over for so many seconds, and once
# for each kind of array at least: created, written to and verified, a member failed, removed, added back and rebuilt
# under load, checked, stopped, assembled. A line a round, with the memory that the kernel cannot give back.

set -euo pipefail
# shellcheck source=tests/lib/guest.sh
source "$(dirname "$0")/guest.sh"

UNTIL=$((SECONDS + $1))
shift
KINDS=("$@")
(($# > 0)) || KINDS=(raid1:none raid1:internal raid1:lockless raid10:none raid10:internal raid10:lockless)
MD=/sys/block/md0/md
METADATA=(1.2 1.0 1.1 0.90)
# Slower machines do the same, not less.
LOAD=4
[[ $RMD_KERNEL != debug ]] || LOAD=10

# One disk more than the widest array has members.
DISKS=(/dev/ram0 /dev/ram1 /dev/ram2 /dev/ram3 /dev/ram4)
modprobe brd rd_nr=${#DISKS[@]} rd_size=32768 max_part=0
put N $MD_PARAMS/legacy_async_del_gendisk

# idle: sleeps until no pass runs.
idle() {
	local i
	for ((i = 0; i < 3000; i++)); do
		mdadm --wait /dev/md0 || true
		[[ $(cat $MD/sync_action) != idle ]] || return 0
		sleep 0.1
	done
	fail "does not become idle: $(cat /proc/mdstat)"
}

# load SECONDS
load() {
	fio --name=load --filename=/dev/md0 --rw=randrw --bsrange=512-64k --size=16M --io_size=1G --ioengine=libaio \
		--iodepth=16 --direct=1 --time_based --runtime="$1" --verify=crc32c --verify_backlog=256 --verify_fatal=1 \
		--verify_state_save=0 --randseed=$RANDOM --output=/tmp/fio
}

# round NUMBER LEVEL BITMAP
round() {
	local metadata=${METADATA[$1 % ${#METADATA[@]}]} count=2 victim loader disk
	local args=(--bitmap="$3")
	[[ $2 != raid10 ]] || count=4
	local members=("${DISKS[@]:0:count}") spare=${DISKS[count]}
	[[ $3 != lockless ]] || metadata=1.2
	((RANDOM % 2)) || args+=(--assume-clean)
	if [[ ${args[*]} == *assume-clean* || $3 == lockless ]]; then
		# They are alike then: pages that a RAM disk does not have read as zeroes. Of what was never written copies are not
		# made to agree by a lockless bitmap, but where a neighbour was written they are compared.
		for disk in "${DISKS[@]}"; do
			blkdiscard "$disk"
		done
	fi
	mdadm --quiet --create /dev/md0 --run --level="$2" --metadata="$metadata" --raid-devices=$count \
		"${args[@]}" "${members[@]}" 2>/tmp/mdadm || fail "$(cat /tmp/mdadm)"
	load "$LOAD" &
	loader=$!
	sleep 1
	victim=${members[RANDOM % count]}
	mdadm --quiet /dev/md0 --fail "$victim"
	sleep 1
	mdadm --quiet /dev/md0 --remove "$victim"
	sleep 1
	if ((RANDOM % 2)); then
		mdadm --quiet /dev/md0 --add "$victim"
	else
		mdadm --quiet /dev/md0 --add "$spare"
		members=("${members[@]/$victim/$spare}")
	fi
	# Beyond what is verified.
	blkdiscard --offset 17M --length 5M /dev/md0
	wait $loader || fail "fio: $(cat /tmp/fio)"
	idle
	same degraded 0 "$(cat $MD/degraded)"
	echo check >$MD/sync_action
	idle
	same mismatch_cnt 0 "$(cat $MD/mismatch_cnt)"
	mdadm --quiet --stop /dev/md0
	mdadm --quiet --assemble /dev/md0 "${members[@]}"
	same "degraded after the assembly" 0 "$(cat $MD/degraded)"
	load 1 || fail "fio: $(cat /tmp/fio)"
	mdadm --quiet --stop /dev/md0
	mdadm --quiet --zero-superblock "${DISKS[@]}" 2>/dev/null || true
}

for ((number = 0; SECONDS < UNTIL || number < ${#KINDS[@]}; number++)); do
	kind=${KINDS[number % ${#KINDS[@]}]}
	round $number "${kind%:*}" "${kind#*:}"
	echo "$SECONDS s: round $number, $kind, $(awk '/^(SUnreclaim|Percpu):/ { printf "%s %s kB ", $1, $2 }' /proc/meminfo)"
done
echo "rmd-detail: $number rounds"
if [[ $RMD_DRIVER == rust ]]; then
	rmmod md_mod
fi
