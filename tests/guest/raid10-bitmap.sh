#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# vm: --smp 2 --disk a:24M --disk b:24M --disk c:24M --disk d:24M --disk e:24M --disk f:24M
#
# The bitmaps of a raid10, whose recovery goes over its members: what a member missed, what a crash left, and what an
# interrupted recovery has not done is copied, and nothing else.
set -euo pipefail
# shellcheck source=tests/lib/guest.sh
source "$(dirname "$0")/../lib/guest.sh"

put N $MD_PARAMS/legacy_async_del_gendisk
MD=/sys/block/md0/md
LL=$MD/llbitmap
DISKS=(/dev/vda /dev/vdb /dev/vdc /dev/vdd /dev/vde /dev/vdf)
RAID10=$(dirname "$0")/../lib/raid10.py

# agree: that each copy of each chunk is where the format says, and that the driver finds so, too.
agree() {
	copies "${now[@]}"
	put check $MD/sync_action
	idle
	same "mismatch_cnt" 0 "$(cat $MD/mismatch_cnt)"
}

# write CHUNK...: random data to whole chunks of the bitmap, of 64 KiB.
write() {
	local chunk
	for chunk; do
		dd if=/dev/urandom of=/dev/md0 bs=64k count=1 seek="$chunk" oflag=direct conv=notrunc status=none
	done
}

# share SLOT CHUNK...: how many sectors of these chunks have a copy on a member.
share() {
	local slot=$1
	shift
	python3 "$RAID10" --share /dev/md0 "$members" "$slot" 64 "$@"
}

# written DEVICE...: sectors written to them so far.
written() {
	local disk sum=0
	for disk; do
		sum=$((sum + $(awk '{ print $7 }' "/sys/block/${disk#/dev/}/stat")))
	done
	echo $sum
}

# copied WHAT EXPECTED ACTUAL: so many sectors were written, and little else: superblocks and bitmaps.
copied() {
	echo "$1: $3 sectors written, of which $2 are data"
	(($3 >= $2 && $3 < $2 + 1500)) || fail "$1: $3 sectors written for $2 of data"
}

# quiet: waits until no chunk is marked.
quiet() {
	local i left
	if [[ $bitmap == internal ]]; then
		put 0.1 $MD/bitmap/time_base
	else
		takes 1 $LL/daemon_sleep
		takes 1 $LL/barrier_idle
	fi
	for ((i = 0; i < 300; i++)); do
		if [[ $bitmap == internal ]]; then
			left=$(bits_set "${now[0]}")
		else
			left=$(sed -n 's/^dirty \([0-9]*\)$/\1/p' $LL/bits)
		fi
		((left > 0)) || break
		sleep 0.1
	done
	((left == 0)) || fail "$left chunks stay marked"
	if [[ $bitmap == internal ]]; then put 60 $MD/bitmap/time_base; else takes 100 $LL/daemon_sleep; fi
}

# lose SLOT: a member leaves.
lose() { mdadm --quiet /dev/md0 --fail "${now[$1]}" --remove "${now[$1]}"; }

# back SLOT: it comes back.
back() { mdadm --quiet /dev/md0 --re-add "${now[$1]}"; }

# paused SECTOR: waits until the pass pauses there.
paused() {
	local i at=''
	for ((i = 0; i < 300; i++)); do
		read -r at _ <$MD/sync_completed
		[[ $at != "$1" ]] || return 0
		sleep 0.1
	done
	fail "the pass is at $at instead of $1: $(cat /proc/mdstat)"
}

create() {
	local disk args=(--bitmap=lockless)
	for disk in "${DISKS[@]}"; do
		if [[ $bitmap == lockless ]]; then
			# What was never written is never made to agree, but a check compares it once its block is infected.
			dd if=/dev/zero of="$disk" bs=1M count=16 oflag=direct status=none
		else
			dd if=/dev/urandom of="$disk" bs=1M count=16 oflag=direct status=none
		fi
	done
	[[ $bitmap != internal ]] || args=(--bitmap=internal --bitmap-chunk=64K)
	before=$(written "${now[@]}")
	mdadm --quiet --create /dev/md0 --run "${args[@]}" --level=10 --layout="$layout" --chunk="$chunk" --size=8192 \
		--raid-devices="$members" "${now[@]}"
	idle
	# Whole ones.
	CHUNKS=$(($(cat /sys/block/md0/size) / 128))
	if [[ $bitmap == internal ]]; then
		same "last_sync_action" resync "$(cat $MD/last_sync_action)"
		same "location" +8 "$(cat $MD/bitmap/location)"
	else
		# Two of them in a block of the bitmap, and all in it count as written.
		same "unwritten" $((($(cat /sys/block/md0/size) + 127) / 128)) "$(sed -n 's/^unwritten //p' $LL/bits)"
		copied "a new array" 0 $(($(written "${now[@]}") - before))
	fi
	write 0 1 2 70 71 $((CHUNKS / 2)) $((CHUNKS - 1))
	quiet
	[[ $bitmap != internal ]] || agree
}

missed() {
	local slot=$1 chunks=(2 3 5 71 150 $((CHUNKS / 2 + 1)) $((CHUNKS - 1)))
	lose "$slot"
	write "${chunks[@]}"
	before=$(written "${now[slot]}")
	back "$slot"
	idle
	shape "[$members/$members] ["
	same "last_sync_action" recover "$(cat $MD/last_sync_action)"
	copied "what slot $slot missed" "$(share "$slot" "${chunks[@]}")" $(($(written "${now[slot]}") - before))
	agree
}

# A recovery that is interrupted twice, in the first and in the last part of the member: frozen, then stopped.
interrupted() {
	local slot=$1 at chunks all part
	mapfile -t chunks < <(seq 1 7 $((CHUNKS - 1)))
	lose "$slot"
	write "${chunks[@]}"
	at=$(($(cat $MD/component_size) * 2 / 4 / (chunk * 2) * (chunk * 2)))
	put $at $MD/sync_max
	all=$(share "$slot" "${chunks[@]}")
	before=$(written "${now[slot]}")
	back "$slot"
	paused $at
	put frozen $MD/sync_action
	becomes "sync_action" frozen $MD/sync_action
	at=$((at * 3))
	put $at $MD/sync_max
	put idle $MD/sync_action
	paused $at
	mdadm --quiet --stop /dev/md0
	part=$(($(written "${now[slot]}") - before))
	echo "interrupted after $part of $all sectors"
	((part > 0 && part < all)) || fail "$part of $all sectors were copied"
	mdadm --examine "${now[slot]}" | grep -q "Recovery Offset : $at sectors" ||
		fail "not $at: $(mdadm --examine "${now[slot]}")"
	mdadm --quiet --assemble /dev/md0 "${now[@]}"
	idle
	shape "[$members/$members] ["
	same "last_sync_action" recover "$(cat $MD/last_sync_action)"
	copied "all of what slot $slot missed" "$all" $(($(written "${now[slot]}") - before))
	agree
}

# A member fails while it is filled, and comes back.
again() {
	local slot=$1 at
	lose "$slot"
	write 4 6 $((CHUNKS / 2 + 2)) $((CHUNKS - 3))
	at=$(($(cat $MD/component_size) * 2 / 4 / (chunk * 2) * (chunk * 2)))
	put $at $MD/sync_max
	back "$slot"
	paused $at
	lose "$slot"
	put max $MD/sync_max
	write 8
	back "$slot"
	idle
	shape "[$members/$members] ["
	agree
}

# A spare gets everything.
spare() {
	local slot=$1 new=${DISKS[members]} all
	lose "$slot"
	write 9
	before=$(written "$new")
	mdadm --quiet /dev/md0 --add "$new"
	idle
	shape "[$members/$members] ["
	now[slot]=$new
	mapfile -t all < <(seq 0 $((CHUNKS - 1)))
	copied "a spare" "$(share "$slot" "${all[@]}")" $(($(written "$new") - before))
	agree
}

crashed() {
	local chunks=(11) slot copies
	[[ $bitmap == lockless ]] || chunks+=(90 $((CHUNKS - 2)))
	quiet
	put 100 $MD/safe_mode_delay
	write "${chunks[@]}"
	same "array_state" active "$(cat $MD/array_state)"
	# The members as they are now, clean or not, are what a crash leaves.
	for slot in "${!now[@]}"; do
		dd if="${now[slot]}" of="/tmp/leg$slot" bs=1M iflag=direct status=none
	done
	copies=$((($(cat $MD/layout) & 255) * ($(cat $MD/layout) >> 8 & 255)))
	mdadm --quiet --stop /dev/md0
	for slot in "${!now[@]}"; do
		dd if="/tmp/leg$slot" of="${now[slot]}" bs=1M oflag=direct status=none
	done
	before=$(written "${now[@]}")
	mdadm --quiet --assemble /dev/md0 "${now[@]}"
	idle
	same "last_sync_action" resync "$(cat $MD/last_sync_action)"
	copied "what a crash left" $(((copies - 1) * 128 * ${#chunks[@]})) $(($(written "${now[@]}") - before))
	agree
}

while read -r layout members chunk bitmap first second; do
	now=("${DISKS[@]:0:members}")
	step "$layout on $members, chunks of ${chunk}K, $bitmap: new"
	create
	step "a member gets what it missed"
	missed "$first"
	step "an interrupted recovery is gone on with, and nothing is lost"
	interrupted "$second"
	step "a member fails while it is filled"
	again "$first"
	step "a spare"
	spare "$first"
	step "after a crash what is marked is resynced"
	crashed
	mdadm --quiet --stop /dev/md0
	mdadm --quiet --zero-superblock "${now[@]}"
done < <(rows <<-'CASES'
	long n2 4 64 internal 3 0
	f2 3 128 lockless 2 0
	long o2 5 16 lockless 4 1
CASES
)

step "a spare gets nothing that was never written, if that is known"
members=4 bitmap=lockless layout=n2 chunk=64 now=("${DISKS[@]:0:4}")
# Where nothing was written copies are what was there before.
for disk in "${DISKS[@]}"; do
	dd if=/dev/zero of="$disk" bs=1M oflag=direct status=none 2>/dev/null || true
done
mdadm --quiet --create /dev/md0 --run --bitmap=lockless --level=10 --layout=n2 --chunk=64 --size=8192 \
	--raid-devices=4 "${now[@]}"
write 20
lose 0
write 21
before=$(written /dev/vde)
mdadm --quiet /dev/md0 --add /dev/vde
idle
shape "[4/4] ["
now[0]=/dev/vde
copied "a spare" "$(share 0 20 21)" $(($(written /dev/vde) - before))
agree
mdadm --quiet --stop /dev/md0
mdadm --quiet --zero-superblock "${now[@]}"

step "a bitmap comes and goes while the array is written to; sizes and levels stay while it is there"
now=("${DISKS[@]:0:4}")
mdadm --quiet --create /dev/md0 --run --assume-clean --bitmap=none --level=10 --layout=f2 --chunk=64 --size=8192 \
	--raid-devices=4 "${now[@]}"
same location none "$(cat $MD/bitmap/location)"
fio --name=load --filename=/dev/md0 --rw=randwrite --bs=4k --direct=1 --ioengine=libaio --iodepth=8 --time_based \
	--runtime=60 --output=/tmp/fio.log &
LOAD=$!
for turn in 1 2; do
	mdadm --grow /dev/md0 --bitmap=internal --bitmap-chunk=64K
	same "location, turn $turn" +8 "$(cat $MD/bitmap/location)"
	same consistency_policy bitmap "$(cat $MD/consistency_policy)"
	refuses EBUSY +16 $MD/bitmap/location
	refuses EBUSY raid0 $MD/level
	mdadm --grow /dev/md0 --bitmap=none
	same "location, turn $turn" none "$(cat $MD/bitmap/location)"
done
kill $LOAD
wait $LOAD || true
mdadm --grow /dev/md0 --bitmap=internal --bitmap-chunk=64K
bitmap=internal
quiet
put 5-7 $MD/bitmap_set_bits
same "chunks marked by word" 3 "$(bits_set "${now[0]}")"
same "bitmap_set_bits beyond the end" EINVAL "$(errno_of put $(($(cat /sys/block/md0/size) / 128)) $MD/bitmap_set_bits)"
mdadm --quiet --stop /dev/md0
rmmod md_mod
