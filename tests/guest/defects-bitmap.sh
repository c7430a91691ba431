#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# vm: --smp 2 --disk a:8300M --disk b:8300M --disk c:64M
#
# Defects of the C driver's lockless bitmap that are not repeated: where it ends on media and what else is said to be
# there; other sizes of members; members that come back too late; passes that stop in the middle of a chunk; chunks that
# are not there; bitmaps of the other kind. Names of steps as arguments: only these.
set -euo pipefail
# shellcheck source=tests/lib/guest.sh
source "$(dirname "$0")/../lib/guest.sh"

put N $MD_PARAMS/legacy_async_del_gendisk
MD=/sys/block/md0/md
LL=$MD/llbitmap
# Sectors: where the bitmap begins, what is kept for it, where data begins; a chunk.
BITMAP=16 ROOM=256 DATA=2048 CHUNK=128

# create SIZE: a raid1 of vda and vdb that uses so much of them.
create() {
	mdadm --quiet --create /dev/md0 --run --assume-clean --metadata=1.2 --data-offset=1M --size="$1" --bitmap=lockless \
		--level=1 --raid-devices=2 /dev/vda /dev/vdb
	put 1 $LL/daemon_sleep
	put 1 $LL/barrier_idle
}

# destroy: the members too.
destroy() {
	mdadm --quiet --stop /dev/md0
	mdadm --quiet --zero-superblock "$@"
}

# bits STATE: how many chunks are in a state.
bits() { sed -n "s/^$1 \([0-9]*\)$/\1/p" $LL/bits; }

# byte DEVICE OFFSET: a byte of the bitmap on media.
byte() {
	local at=$((BITMAP * 512 + $2))
	dd if="$1" bs=512 count=1 skip=$((at / 512)) iflag=direct status=none | od -An -tu1 -j $((at % 512)) -N 1 | tr -d ' '
}

# on_media DEVICE CHUNK: the byte of a chunk.
on_media() { byte "$1" $((1024 + $2)); }

# chunk_of DEVICE CHUNK: a checksum of a chunk on a member.
chunk_of() {
	dd if="$1" bs=64k count=1 iflag=direct,skip_bytes skip=$(((DATA + $2 * CHUNK) * 512)) status=none | sha256sum
}

# write CHUNK...: random data into the first 4 KiB of chunks of 64 KiB.
write() {
	local chunk
	for chunk; do
		dd if=/dev/urandom of=/dev/md0 bs=4k count=1 seek=$((chunk * CHUNK / 8)) oflag=direct conv=notrunc status=none
	done
}

same_chunks() {
	local chunk first=$1 second=$2
	for chunk in "${@:3}"; do
		same "chunk $chunk" "$(chunk_of "$first" "$chunk")" "$(chunk_of "$second" "$chunk")"
	done
}

leave() {
	mdadm --quiet /dev/md0 --fail "$1"
	mdadm --quiet /dev/md0 --remove "$1"
}

bounds() {
	step "the bitmap stays in the room that is kept for it, and says how large its chunks are"
	# With chunks of 64 KiB there is room for these 130560 bytes, but not for the 1024 before them.
	create 8160M
	local behind=$((BITMAP + ROOM)) leg
	dd if=/dev/urandom of=/tmp/behind bs=4k count=8 status=none
	for leg in vda vdb; do
		dd if=/tmp/behind of=/dev/$leg bs=512 seek=$behind oflag=direct conv=notrunc status=none
	done
	dd if=/dev/urandom of=/dev/md0 bs=4k count=1 seek=$((8160 * 256 - 1)) oflag=direct conv=notrunc status=none
	same "metadata" "chunksize 256" "$(head -n 1 $LL/metadata)"
	shape "128KB chunk"
	await "dirty" 0 bits dirty
	mdadm --quiet --stop /dev/md0
	for leg in vda vdb; do
		dd if=/dev/$leg of=/tmp/now bs=4k count=8 iflag=direct,skip_bytes skip=$((behind * 512)) status=none
		cmp /tmp/behind /tmp/now || fail "something was written behind the bitmap of $leg"
		# Little endian, in sectors.
		same "chunk size on $leg" "0 1 0 0" "$(for at in 52 53 54 55; do byte /dev/$leg $at; done | xargs)"
	done
	mdadm --quiet --assemble /dev/md0 /dev/vda /dev/vdb
	same "metadata" "chunksize 256" "$(head -n 1 $LL/metadata)"
	same "clean" 65280 "$(bits clean)"
	destroy /dev/vda /dev/vdb
}

log_inside() {
	step "mdadm puts the log of bad blocks into the bitmap: nothing of it is written there, nor read"
	create 300M
	put 1000 $LL/daemon_sleep
	mdadm --examine /dev/vda | grep -q 'available at offset 16 sectors' || fail "the log is elsewhere"
	# Chunk 4000 is on the second page of the bitmap, where the log is said to be.
	write 4000
	put "$((DATA + 8)) 8" $MD/dev-vda/bad_blocks 2>/dev/null || true
	same "byte of chunk 4000" 2 "$(on_media /dev/vda 4000)"
	# Superblocks are written, and what belongs to them.
	put clean $MD/array_state
	write 4000
	local leg
	for leg in vda vdb; do
		dd if=/dev/$leg of=/tmp/page-$leg bs=4k count=1 iflag=direct,skip_bytes skip=$((BITMAP * 512 + 4096)) status=none
	done
	cmp /tmp/page-vda /tmp/page-vdb || fail "a log was written into the bitmap"
	mdadm --quiet --stop /dev/md0
	mdadm --quiet --assemble /dev/md0 /dev/vda /dev/vdb
	same "bad_blocks" "" "$(cat $MD/dev-vda/bad_blocks)"
	same "clean" 4800 "$(bits clean)"
	destroy /dev/vda /dev/vdb
}

resize() {
	step "another size of members gives chunks other cells, not the cells other chunks; so do more members"
	create 40M
	put 1000 $LL/daemon_sleep
	write 5
	# As many chunks as there is room for, then more; and less than there were.
	put $((8128 * 1024)) $MD/component_size
	idle
	same "metadata" "chunksize 128 chunks 130048" "$(sed -n '1 p; s/^chunks /&/p' $LL/metadata | xargs)"
	same "states" "1 dirty, 639 clean" "$(bits dirty) dirty, $(bits clean) clean"
	put $((8160 * 1024)) $MD/component_size
	idle
	same "metadata" "chunksize 256 chunks 65280" "$(sed -n '1 p; s/^chunks /&/p' $LL/metadata | xargs)"
	same "states" "1 dirty, 319 clean" "$(bits dirty) dirty, $(bits clean) clean"
	same "bytes of chunks 2 and 3" "2 1" "$(on_media /dev/vda 2) $(on_media /dev/vdb 3)"
	same "byte of chunk 320" 0 "$(on_media /dev/vda 320)"
	put $((30 * 1024)) $MD/component_size
	same "states" "1 dirty, 239 clean" "$(bits dirty) dirty, $(bits clean) clean"
	destroy /dev/vda /dev/vdb

	create 40M
	write 5
	await "clean" 640 bits clean
	refuses EBUSY raid0 $MD/level
	mdadm --quiet /dev/md0 --add /dev/vdc
	mdadm --quiet --grow /dev/md0 --raid-devices=3
	idle
	same "degraded" 0 "$(cat $MD/degraded)"
	same_chunks /dev/vda /dev/vdc 5 6
	write 7
	same_chunks /dev/vda /dev/vdc 7
	leave /dev/vdc
	mdadm --quiet --grow /dev/md0 --raid-devices=2
	same "degraded" 0 "$(cat $MD/degraded)"
	await "dirty" 0 bits dirty
	mdadm --quiet --grow /dev/md0 --bitmap=none
	put $((50 * 1024)) $MD/component_size
	idle
	destroy /dev/vda /dev/vdb
	mdadm --quiet --zero-superblock /dev/vdc
}

stale_readd() {
	step "a member does not come back by the bitmap when what it missed is forgotten"
	create 40M
	await "dirty" 0 bits dirty
	leave /dev/vdb
	write 5
	mdadm --quiet /dev/md0 --add /dev/vdc
	idle
	await "dirty" 0 bits dirty
	same "need sync" 0 "$(bits 'need sync')"
	leave /dev/vdc
	if mdadm --quiet /dev/md0 --re-add /dev/vdb 2>/dev/null; then
		idle
		same_chunks /dev/vda /dev/vdb 5
		fail "all of it was copied, but the bitmap was said to be enough"
	fi
	mdadm --quiet /dev/md0 --re-add /dev/vdc
	idle
	same "degraded" 0 "$(cat $MD/degraded)"
	same_chunks /dev/vda /dev/vdc 5
	destroy /dev/vda /dev/vdc
	mdadm --quiet --zero-superblock /dev/vdb
}

# stale_classic UPTO: vdb misses a write, vdc is rebuilt in its place up to a sector, and leaves; vdb comes back.
stale_classic() {
	mdadm --quiet --create /dev/md0 --run --assume-clean --metadata=1.2 --data-offset=1M --size=40M --bitmap=internal \
		--bitmap-chunk=64K --level=1 --raid-devices=2 /dev/vda /dev/vdb
	put 0.1 $MD/bitmap/time_base
	await "bits that are set" 0 bits_set /dev/vda
	leave /dev/vdb
	write 5
	# No write from here on.
	put "$1" $MD/sync_max
	mdadm --quiet /dev/md0 --add /dev/vdc
	if [[ $1 == max ]]; then
		idle
		await "bits that are set" 0 bits_set /dev/vda
	else
		becomes "sync_completed" "$1 / $(($(cat $MD/component_size) * 2))" $MD/sync_completed
		sleep 4
	fi
	leave /dev/vdc
	put max $MD/sync_max
	if mdadm --quiet /dev/md0 --re-add /dev/vdb 2>/dev/null; then
		idle
		same_chunks /dev/vda /dev/vdb 5
	fi
	destroy /dev/vda
	mdadm --quiet --zero-superblock /dev/vdb /dev/vdc
}

stale_readd_classic() {
	step "the same with a classic bitmap, without a write that would tell it that what was missed is forgotten"
	stale_classic max
	step "the same when the one in its place was not rebuilt to the end"
	stale_classic 40960
}

# poke LEG BYTE CHUNK COUNT: gives so many chunks from one on this byte on a member.
poke() {
	python3 - "$1" "$2" $((BITMAP * 512 + 1024 + $3)) "$4" <<-'PYTHON'
		import os, sys
		value, at, count = map(int, sys.argv[2:])
		disk = os.open(sys.argv[1], os.O_RDWR)
		os.pwrite(disk, bytes([value]) * count, at)
		os.fsync(disk)
	PYTHON
}

half_chunk() {
	step "a pass that stops in the middle of a chunk has not synced it"
	create 40M
	# So that media say what each chunk is.
	write 20
	await "dirty" 0 bits dirty
	mdadm --quiet --stop /dev/md0
	# Chunks 0 to 9 need a sync, and the second half of chunk 4 does.
	local leg
	for leg in vda vdb; do poke /dev/$leg 3 0 10; done
	dd if=/dev/urandom of=/dev/vdb bs=32k count=1 oflag=direct,seek_bytes conv=notrunc status=none \
		seek=$(((DATA + 4 * CHUNK + 64) * 512))
	put 1 $MD_PARAMS/start_ro
	mdadm --quiet --assemble /dev/md0 --update=resync /dev/vda /dev/vdb
	put 0 $MD_PARAMS/start_ro
	same "array_state" read-auto "$(cat $MD/array_state)"
	same "need sync" 10 "$(bits 'need sync')"
	put 1 $LL/daemon_sleep
	put $((4 * CHUNK + 64)) $MD/sync_max
	set_state active md0
	local all
	all=$(($(cat $MD/component_size) * 2))
	becomes "sync_completed" "$((4 * CHUNK + 64)) / $all" $MD/sync_completed
	# It goes on behind a checkpoint.
	sleep 2
	put $((4 * CHUNK + 96)) $MD/sync_max
	becomes "sync_completed" "$((4 * CHUNK + 96)) / $all" $MD/sync_completed
	put frozen $MD/sync_action
	same "need sync" 6 "$(bits 'need sync')"
	put max $MD/sync_max
	put idle $MD/sync_action
	await "need sync" 0 bits 'need sync'
	idle
	same_chunks /dev/vda /dev/vdb 3 4 5
	destroy /dev/vda /dev/vdb
}

# asks VALUE: copies of chunks differ that have this byte, in an array that was stopped in good order.
asks() {
	create 40M
	# So that media say what each chunk is.
	write 20
	await "dirty" 0 bits dirty
	mdadm --quiet --stop /dev/md0
	local leg
	for leg in vda vdb; do poke /dev/$leg "$1" 4 3; done
	dd if=/dev/urandom of=/dev/vdb bs=64k count=3 oflag=direct,seek_bytes conv=notrunc status=none \
		seek=$(((DATA + 4 * CHUNK) * 512))
	[[ "$(chunk_of /dev/vda 5)" != "$(chunk_of /dev/vdb 5)" ]] || fail "copies do not differ"
	mdadm --quiet --assemble /dev/md0 /dev/vda /dev/vdb
	becomes "last_sync_action" resync $MD/last_sync_action
	idle
	same "need sync" 0 "$(bits 'need sync')"
	same "unwritten" 0 "$(bits unwritten)"
	same_chunks /dev/vda /dev/vdb 4 5 6
	put 1 $LL/daemon_sleep
	await "clean" 640 bits clean
	await "byte of chunk 5" 1 on_media /dev/vdb 5
	destroy /dev/vda /dev/vdb
}

bitmap_asks() {
	step "what the bitmap of a clean array says needs a sync gets one"
	asks 3
	step "so does a chunk whose byte is no state"
	asks 200
}

members_leave() {
	step "members leave while a pass brings marks to media"
	create 40M
	put 2000 $MD/sync_speed_max
	local turn
	for turn in 1 2 3; do
		leave /dev/vdb
		dd if=/dev/urandom of=/dev/md0 bs=1M count=20 oflag=direct conv=notrunc status=none
		mdadm --quiet /dev/md0 --re-add /dev/vdb
		sleep 1.5
		same "sync_action, turn $turn" recover "$(cat $MD/sync_action)"
	done
	put 200000 $MD/sync_speed_max
	idle
	same "degraded" 0 "$(cat $MD/degraded)"
	same_chunks /dev/vda /dev/vdb 0 150 319
	destroy /dev/vda /dev/vdb
}

set_bits() {
	step "chunks that are not there are not marked"
	create 40M
	local text
	for text in 640 630-640 99999999 0-18446744073709551615 5-3 x; do
		same "bitmap_set_bits of $text" EINVAL "$(errno_of put "$text" $MD/bitmap_set_bits)"
	done
	same "clean" 640 "$(bits clean)"
	put 1000 $LL/daemon_sleep
	put 639 $MD/bitmap_set_bits
	same "byte of the last chunk" 2 "$(on_media /dev/vdb 639)"
	destroy /dev/vda /dev/vdb
}

other_kind() {
	step "a lockless bitmap that lies where a classic one is to be added is refused, and the array stays as it is"
	create 40M
	mdadm --quiet --grow /dev/md0 --bitmap=none
	same "location" none "$(cat $MD/bitmap/location)"
	same "version on media" 6 "$(byte /dev/vda 4)"
	for ((turn = 0; turn < 3; turn++)); do
		refuses EINVAL +8 $MD/bitmap/location
	done
	refuses EINVAL +100000 $MD/bitmap/location
	same "files" location "$(ls $MD/bitmap)"
	[[ ! -e $LL ]] || fail "there are files of a lockless bitmap"
	same "bitmap_type" "[none] bitmap llbitmap " "$(cat $MD/bitmap_type)"
	write 5
	takes none $MD/bitmap/location
	mdadm --quiet --stop /dev/md0
	mdadm --quiet --assemble /dev/md0 /dev/vda /dev/vdb
	same "location" none "$(cat $MD/bitmap/location)"
	mdadm --quiet --grow /dev/md0 --bitmap=internal
	same "files" "backlog can_clear chunksize location max_backlog_used metadata space time_base" \
		"$(cd $MD/bitmap && echo ./* | sed 's,\./,,g')"
	destroy /dev/vda /dev/vdb
}

steps=("$@")
(($# > 0)) ||
	steps=(half_chunk bitmap_asks bounds log_inside resize stale_readd stale_readd_classic members_leave set_bits
		other_kind)
for name in "${steps[@]}"; do
	$name
done
(($# > 0)) || rmmod md_mod
