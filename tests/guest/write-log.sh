#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# vm: --smp 2 --timeout 1800 --disk a:72M --disk b:72M --disk c:256M
#
# write-log.sh [CUTS]: all that a raid1 with a bitmap writes to its members is logged, in its order (dm-log-writes).
# Where data are written to, each member's bitmap said so on media before. Meanwhile the array becomes larger, and its
# bitmap with it. Then the power fails at so many places in the log (5 for each kind of bitmap; 50 with RMD_LONG=1), and
# as many while it became larger: the array is assembled from what was there, and its members agree when what was
# marked, and nothing else, has been copied.
#
# Both members lie on one logged device, so that there is one order for all they are given, below which the bitmaps
# are on a slow disk: what does not wait for its mark is in the log before it.
set -euo pipefail
# shellcheck source=tests/lib/guest.sh
source "$(dirname "$0")/../lib/guest.sh"

CUTS=${1:-$([[ -n ${RMD_LONG:-} ]] && echo 50 || echo 5)}
SEED=$RANDOM
total=0
MD=/sys/block/md0/md
DISKS=(/dev/vda /dev/vdb)
LOG=/dev/vdc
# Sectors of a member: in all, up to its bitmap, and up to its data.
LEG=$((72 * 2048)) BITMAP=16 DATA=2048
write_log() { python3 "$(dirname "$0")/../lib/write_log.py" "$1" $LOG "$LEG" "${@:2}"; }
# written: sectors that both disks were given so far.
written() { awk '{ sum += $7 } END { print sum }' /sys/block/vd[ab]/stat; }

# leg DISK START: tables for a member that begins there on the logged device.
leg() {
	echo "$2 $BITMAP linear $1 0"
	echo "$(($2 + BITMAP)) $((DATA - BITMAP)) delay $1 $BITMAP 0 $1 $BITMAP 20 $1 $BITMAP 0"
	echo "$(($2 + DATA)) $((LEG - DATA)) linear $1 $DATA"
}

# blank: there is nothing on the disks.
blank() {
	local disk
	for disk in "${DISKS[@]}"; do
		blkdiscard --force "$disk" 2>/dev/null
	done
}

# bursts NAME MIB OPTION...: a burst of writes in 12 MiB from there on, and again when their marks are gone.
bursts() {
	fio --name="$1" --filename=/dev/md0 --rw=randwrite --offset="$2M" --size=12M --bsrange=4k-64k --ioengine=libaio \
		--iodepth=8 --direct=1 --serialize_overlap=1 --number_ios=120 --thinktime=5s --thinktime_blocks=30 \
		--output="/tmp/fio-$1" "${@:3}" || fail "$(cat "/tmp/fio-$1")"
}

# grow: the array takes all the room there is.
grow() {
	dmsetup message log 0 mark grow
	mdadm --quiet --grow /dev/md0 --size=max
	dmsetup message log 0 mark grown
}

# record KIND OPTION...: a run of writes to an array with such a bitmap is in the log.
record() {
	local kind=$1
	shift
	blank
	{ leg "${DISKS[0]}" 0 && leg "${DISKS[1]}" "$LEG"; } | dmsetup create base
	dmsetup create log --table "0 $((2 * LEG)) log-writes /dev/mapper/base $LOG"
	dmsetup create one --table "0 $LEG linear /dev/mapper/log 0"
	dmsetup create two --table "0 $LEG linear /dev/mapper/log $LEG"
	mdadm --quiet --create /dev/md0 --run --assume-clean --metadata=1.2 --data-offset=1M --level=1 --raid-devices=2 \
		--size=56M --bitmap="$kind" "$@" /dev/mapper/one /dev/mapper/two
	if [[ $kind == lockless ]]; then
		put 1 $MD/llbitmap/daemon_sleep
		put 1 $MD/llbitmap/barrier_idle
	else
		put 1 $MD/bitmap/time_base
	fi
	settled
	dmsetup message log 0 mark begin
	# Writes that are durable by themselves, and others.
	bursts fua 0 --sync=dsync &
	local fua=$!
	bursts flush 40 --fsync=10 &
	local flush=$!
	sleep 7
	grow
	wait $fua || fail "no writes"
	wait $flush || fail "no writes"
	same "sectors" $((LEG - DATA)) "$(cat /sys/block/md0/size)"
	sleep 4
	mdadm --quiet --stop /dev/md0
	settled
	dmsetup remove one two
	dmsetup remove log
	dmsetup remove base
}

# ask QUESTION: what who goes through the log answers, in ANSWER.
ask() {
	echo "$1" >&"${REPLAY[1]}"
	read -r -t 600 ANSWER <&"${REPLAY[0]}" || fail "no answer to $1"
}

# recover CUT: the power has failed there.
recover() {
	local marked copied
	blank
	ask "replay $1"
	marked=$ANSWER
	if [[ $(mdadm --examine "${DISKS[@]}" | grep "Array Size" | sort -u | wc -l) != 1 ]]; then
		# Between the superblocks of two members mdadm finds them of two arrays, whatever their events are.
		same "members of two sizes" 1 "$(mdadm --assemble /dev/md0 "${DISKS[@]}" 2>&1 | grep -c "match others")"
		echo "cut at $1: members of two sizes"
		return
	fi
	copied=$(written)
	mdadm --quiet --assemble /dev/md0 "${DISKS[@]}"
	idle
	same "degraded" 0 "$(cat $MD/degraded)"
	copied=$(($(written) - copied))
	mdadm --quiet --stop /dev/md0
	((copied <= marked + 1000)) || fail "cut at $1: $copied sectors were written, $marked are marked"
	ask compare
	same "cut at $1" right "$ANSWER"
	echo "cut at $1: $marked sectors marked, $copied written"
}

put N $MD_PARAMS/legacy_async_del_gendisk
modprobe dm-log-writes
modprobe dm-delay
# Replayed members are not to be assembled by udev.
mkdir -p /run/udev/rules.d
ln -sf /dev/null /run/udev/rules.d/64-md-raid-assembly.rules
udevadm control --reload

for kind in "internal --bitmap-chunk=64K" lockless; do
	step "${kind%% *}: all is marked before it is written to"
	# shellcheck disable=SC2086 # words
	record $kind
	write_log check
	step "${kind%% *}: $CUTS cuts, seed $SEED"
	write_log cuts "$CUTS" "$SEED" >/tmp/cuts
	write_log cuts "$CUTS" "$SEED" grow grown >/tmp/cuts-growing
	(($(wc -l </tmp/cuts-growing) >= 5)) || fail "nothing is written when the array grows"
	coproc REPLAY { write_log serve "${DISKS[@]}"; }
	replaying=$REPLAY_PID
	mapfile -t cuts < <(sort -nu /tmp/cuts /tmp/cuts-growing)
	for cut in "${cuts[@]}"; do
		recover "$cut"
		total=$((total + 1))
	done
	eval "exec ${REPLAY[1]}>&-"
	wait "$replaying"
done
echo "rmd-detail: $total cuts"
rmmod md_mod
