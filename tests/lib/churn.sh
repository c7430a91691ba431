#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# churn.sh SECONDS [LEVEL] [BITMAP]: in a guest, the whole life of arrays over and over for so many seconds: created,
# written to and verified, a member failed, removed, added back and rebuilt under load, checked, stopped, assembled.
# A line a round, with the memory that the kernel cannot give back.

set -euo pipefail
# shellcheck source=tests/lib/guest.sh
source "$(dirname "$0")/guest.sh"

UNTIL=$((SECONDS + $1))
LEVEL=${2:-raid1} BITMAP=${3:-none}
MD=/sys/block/md0/md
METADATA=(1.2 1.0 1.1 0.90)
COUNT=2
[[ $LEVEL != raid10 ]] || COUNT=4

# One disk more than there are members.
DISKS=()
modprobe brd rd_nr=$((COUNT + 1)) rd_size=32768 max_part=0
for ((n = 0; n <= COUNT; n++)); do
	DISKS+=("/dev/ram$n")
done
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
		--verify_state_save=0 --randseed=$RANDOM --trim_percentage=5 --trim_backlog=64 --output=/tmp/fio
}

round() {
	local metadata=${METADATA[$1 % ${#METADATA[@]}]} victim loader
	local members=("${DISKS[@]:0:COUNT}") args=(--bitmap="$BITMAP")
	[[ $BITMAP != lockless ]] || metadata=1.2
	((RANDOM % 2)) && args+=(--assume-clean)
	mdadm --quiet --create /dev/md0 --run --level="$LEVEL" --metadata="$metadata" --raid-devices="$COUNT" \
		"${args[@]}" "${members[@]}" 2>/tmp/mdadm || fail "$(cat /tmp/mdadm)"
	load 6 &
	loader=$!
	sleep 1
	victim=${members[RANDOM % COUNT]}
	mdadm --quiet /dev/md0 --fail "$victim"
	sleep 1
	mdadm --quiet /dev/md0 --remove "$victim"
	sleep 1
	if ((RANDOM % 2)); then
		mdadm --quiet /dev/md0 --add "$victim"
	else
		mdadm --quiet /dev/md0 --add "${DISKS[COUNT]}"
		members=("${members[@]/$victim/${DISKS[COUNT]}}")
	fi
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

for ((number = 0; SECONDS < UNTIL; number++)); do
	round $number
	echo "$SECONDS s: round $number, $(awk '/^(SUnreclaim|Percpu):/ { printf "%s %s kB ", $1, $2 }' /proc/meminfo)"
done
echo "rmd-detail: $number rounds"
rmmod md_mod 2>/dev/null || modprobe -r "$LEVEL" || true
