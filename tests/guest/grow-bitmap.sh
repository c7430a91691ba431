#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# vm: --smp 2 --disk a:72M --disk b:72M
#
# A raid1 with a classic bitmap uses more or less of its members: the bitmap covers what there is, keeps what it knew,
# and new space is marked.
set -euo pipefail
# shellcheck source=tests/lib/guest.sh
source "$(dirname "$0")/../lib/guest.sh"

put N $MD_PARAMS/legacy_async_del_gendisk
MD=/sys/block/md0/md
DISKS=(/dev/vda /dev/vdb)

# examine LABEL: what mdadm says of the bitmap on vda.
examine() { mdadm --examine-bitmap /dev/vda | sed -n "s/^ *$1 : //p"; }
# bits: how many there are.
bits() { examine Bitmap | cut -d ' ' -f 1; }
data() { dd if=/dev/md0 bs=1M count="$1" iflag=direct status=none | sha256sum; }

# covers SECTORS CHUNK: the bitmap on media is one of so many KiB chunks for so many sectors.
covers() {
	same "chunk" "$2 KB" "$(examine Chunksize)"
	same "sync size" $(($1 / 2)) "$(examine 'Sync Size' | cut -d ' ' -f 1)"
	same "bits" $((($1 / 2 + $2 - 1) / $2)) "$(bits)"
}

# clears: waits until no bit is set.
clears() {
	local i
	for ((i = 0; i < 100; i++)); do
		[[ $(bits_set /dev/vda) != 0 ]] || return 0
		sleep 0.2
	done
	fail "$(bits_set /dev/vda) bits are still set"
}

checked() {
	put check $MD/sync_action
	idle
	same "mismatches" 0 "$(cat $MD/mismatch_cnt)"
}

# Version, KiB of a chunk, the same after the array has grown, sectors kept for the bitmap: with so few of them the bits
# do not fit otherwise.
while read -r version chunk grown_chunk space; do
	step "version $version, chunks of $chunk KiB"
	mdadm --quiet --create /dev/md0 --run --bitmap=internal --bitmap-chunk="${chunk}K" --metadata="$version" --level=1 \
		--raid-devices=2 --size=20000 "${DISKS[@]}"
	idle
	[[ -z $space ]] || put "$space" $MD/bitmap/space
	put 1 $MD/bitmap/time_base
	dd if=/dev/urandom of=/dev/md0 bs=1M count=16 oflag=direct status=none
	before=$(data 16)
	clears
	covers 40000 "$chunk"

	put frozen $MD/sync_action
	mdadm --quiet --grow /dev/md0 --size=max
	size=$(cat /sys/block/md0/size)
	((size > 100000)) || fail "the array has $size sectors"
	covers "$size" "$grown_chunk"
	# The chunk that the old end lies in is one of them.
	same "marked" $(((size / 2 + grown_chunk - 1) / grown_chunk - 20000 / grown_chunk)) "$(bits_set /dev/vda)"
	same "the data" "$before" "$(data 16)"
	same "resync_start" 40000 "$(cat $MD/resync_start)"

	step "it is found so after a stop; the new space is resynced, and nothing else"
	mdadm --quiet --stop /dev/md0
	# As if a block before the new space differed: nobody may look at it.
	offset=$(mdadm --examine /dev/vda | awk '/Data Offset/ { print $4 }')
	saved=$(mktemp)
	dd if=/dev/vdb of="$saved" bs=512 skip=$((${offset:-0} + 20000)) count=8 iflag=direct status=none
	dd if=/dev/urandom of=/dev/vdb bs=512 seek=$((${offset:-0} + 20000)) count=8 oflag=direct status=none
	mdadm --quiet --assemble /dev/md0 "${DISKS[@]}"
	idle
	put check $MD/sync_action
	idle
	[[ $(cat $MD/mismatch_cnt) != 0 ]] || fail "the old space was resynced"
	dd if="$saved" of=/dev/vdb bs=512 seek=$((${offset:-0} + 20000)) count=8 oflag=direct status=none
	checked
	put 1 $MD/bitmap/time_base
	clears

	step "what a missing member needs is kept, and new space added"
	mdadm --quiet --grow /dev/md0 --size=30000
	covers 60000 "$grown_chunk"
	mdadm --quiet /dev/md0 --fail /dev/vdb
	mdadm --quiet /dev/md0 --remove /dev/vdb
	dd if=/dev/urandom of=/dev/md0 bs=64k count=3 seek=100 oflag=direct status=none
	before=$(data 28)
	mdadm --quiet --grow /dev/md0 --size=50000
	covers 100000 "$grown_chunk"
	mdadm --quiet /dev/md0 --re-add /dev/vdb
	idle
	same "degraded" 0 "$(cat $MD/degraded)"
	same "the data" "$before" "$(data 28)"
	checked

	step "less of the members"
	before=$(data 16)
	mdadm --quiet --grow /dev/md0 --size=20000
	covers 40000 "$grown_chunk"
	same "the data" "$before" "$(data 16)"
	mdadm --quiet --stop /dev/md0
	mdadm --quiet --assemble /dev/md0 "${DISKS[@]}"
	covers 40000 "$grown_chunk"
	same "the data" "$before" "$(data 16)"
	checked
	mdadm --quiet --stop /dev/md0
	mdadm --quiet --zero-superblock "${DISKS[@]}"
done <<-'KINDS'
	1.0 64 64
	1.2 8 16 2
KINDS

step "with a lockless bitmap it is refused, and nothing changes"
mdadm --quiet --create /dev/md0 --run --bitmap=lockless --level=1 --raid-devices=2 --size=20000 "${DISKS[@]}"
refuses EBUSY 30000 $MD/component_size
same "size" 40000 "$(cat /sys/block/md0/size)"
checked
mdadm --quiet --stop /dev/md0
rmmod md_mod
