#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# vm: --smp 2 --disk a:72M --disk b:72M
#
# A raid1 with a bitmap uses more or less of its members: the bitmap covers what there is, and keeps what it knew. New
# space is marked in a classic one, and was never written for a lockless one.
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
done < <(rows <<-'KINDS'
	long 1.0 64 64
	1.2 8 16 2
KINDS
)

# The lockless bitmap begins 8 sectors behind a superblock at sector 8.
LL=$MD/llbitmap
BITMAP=$((16 * 512))
# cells STATE: how many chunks are in a state.
cells() { sed -n "s/^$1 \([0-9]*\)$/\1/p" $LL/bits; }
# chunks COUNT SECTORS: there are so many, each so long.
chunks() { same "chunks" "chunksize $2 chunks $1" "$(grep -E '^chunk(size|s) ' $LL/metadata | xargs)"; }
# on_media DEVICE COUNT: the first bytes that are cells.
on_media() {
	dd if="$1" of=/tmp/area bs=4k count=$(((BITMAP + 1024 + $2) / 4096 + 1)) iflag=direct status=none
	od -An -v -w1 -tu1 -j $((BITMAP + 1024)) -N "$2" /tmp/area | tr -d ' '
}
# joined COUNT: of the lines of so many, the largest: what a longer chunk has for those it is made of, in a mirror.
joined() {
	awk -v n="$1" '$1 > max { max = $1 }
		NR % n == 0 { print max + 0; max = 0 }
		END { if (NR % n) print max + 0 }'
}
# write CHUNK...: random data into the first 4 KiB of chunks of 64 KiB.
write() {
	local chunk
	for chunk; do
		dd if=/dev/urandom of=/dev/md0 bs=4k count=1 seek=$((chunk * 16)) oflag=direct conv=notrunc status=none
	done
}
# same_on_media COUNT: both members have the cells of /tmp/wanted, of which there are so many.
same_on_media() {
	local disk
	for disk in "${DISKS[@]}"; do
		on_media "$disk" "$1" >/tmp/found
		diff /tmp/wanted /tmp/found || fail "other cells on $disk"
	done
}

step "lockless: new space was never written"
# What was never written is equal, so that a check finds only what is wrong.
for disk in "${DISKS[@]}"; do blkdiscard "$disk"; done
mdadm --quiet --create /dev/md0 --run --bitmap=lockless --level=1 --raid-devices=2 --size=20000 "${DISKS[@]}"
chunks 313 128
put 1 $LL/daemon_sleep
put 1 $LL/barrier_idle
# One after the other: the second of a block that is written in so short a time makes all of it dirty.
for chunk in 3 312; do
	write $chunk
	await "dirty" 0 cells dirty
done
same "clean" 2 "$(cells clean)"
put 10000 $MD/component_size
same "size" 20000 "$(cat /sys/block/md0/size)"
chunks 157 128
same "clean" 1 "$(cells clean)"
put 20000 $MD/component_size
chunks 313 128
# What was behind the end is not remembered.
same "clean" 1 "$(cells clean)"
before=$(awk '{ print $7 }' /sys/block/vdb/stat)
put 30000 $MD/component_size
idle
(($(awk '{ print $7 }' /sys/block/vdb/stat) - before < 1000)) || fail "new space was copied"
same "resync_start" none "$(cat $MD/resync_start)"
chunks 469 128
same "clean" 1 "$(cells clean)"
same "unwritten" 468 "$(cells unwritten)"

step "lockless: what a missing member needs is kept"
mdadm --quiet /dev/md0 --fail /dev/vdb
mdadm --quiet /dev/md0 --remove /dev/vdb
write 9 468
# mdadm would first give the members that are here less room, so that the other does not fit any more.
put 32000 $MD/component_size
chunks 500 128
write 490
# The resync of the new space came to the chunk that the old end lies in, and nobody makes it clean now.
same "marked" 3 $(($(cells 'need sync') + $(cells dirty)))
before=$(data 31)
mdadm --quiet /dev/md0 --re-add /dev/vdb
idle
same "degraded" 0 "$(cat $MD/degraded)"
same "the data" "$before" "$(data 31)"
await "dirty" 0 cells dirty
same "clean" 4 "$(cells clean)"
checked

step "lockless: chunks become longer when the cells do not fit"
mdadm --quiet --stop /dev/md0
# Room for 512 cells: sectors_reserved.
for disk in "${DISKS[@]}"; do
	printf '\3\0\0\0' | dd of="$disk" bs=1 seek=$((BITMAP + 64)) conv=notrunc status=none
done
mdadm --quiet --assemble /dev/md0 "${DISKS[@]}"
put 1000 $LL/daemon_sleep
mdadm --quiet /dev/md0 --fail /dev/vdb
write 17 21
# A dirty one among them.
write 40
put "400-400" $MD/bitmap_set_bits
on_media /dev/vda 500 >/tmp/cells
same "cells" "0 1 3" "$(sort -nu /tmp/cells | xargs)"
# The resync of the new space would go over all of it.
put frozen $MD/sync_action
put 70000 $MD/component_size
size=$(cat /sys/block/md0/size)
count=$(((size + 511) / 512))
chunks $count 512
{ joined 4 </tmp/cells && printf '0\n%.0s' $(seq $((count - 125))); } >/tmp/wanted
on_media /dev/vda $count >/tmp/found
diff /tmp/wanted /tmp/found || fail "other cells"
put idle $MD/sync_action
before=$(data 64)
mdadm --quiet /dev/md0 --remove /dev/vdb
mdadm --quiet /dev/md0 --re-add /dev/vdb
idle
same "degraded" 0 "$(cat $MD/degraded)"
same "the data" "$before" "$(data 64)"
sed -i 's/3/2/' /tmp/wanted
same_on_media $count
checked

step "lockless: dirty chunks stay so, and become clean"
mdadm --quiet --grow /dev/md0 --size=50000
same "dirty" "$(grep -c 2 /tmp/wanted)" "$(cells dirty)"
put 1 $LL/daemon_sleep
put 1 $LL/barrier_idle
await "dirty" 0 cells dirty
mdadm --quiet --stop /dev/md0
mdadm --quiet --assemble /dev/md0 "${DISKS[@]}"
chunks 196 512
sed -i 's/2/1/; 196 q' /tmp/wanted
same_on_media 196
checked

step "lockless: sizes change while the array is written to"
fio --name=load --filename=/dev/md0 --rw=randwrite --bsrange=512-64k --size=16M --ioengine=libaio --iodepth=16 \
	--direct=1 --time_based --runtime=15 --verify=crc32c --verify_backlog=256 --verify_fatal=1 --verify_state_save=0 \
	--output=/tmp/fio &
loader=$!
for size in 60000 20000 70000 30000 70000; do
	until [[ $(cat $MD/sync_action) == idle ]] && put $size $MD/component_size; do sleep 0.1; done
	sleep 1
done
wait $loader || fail "fio: $(cat /tmp/fio)"
idle
checked
mdadm --quiet --stop /dev/md0
rmmod md_mod
