#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# vm: --smp 2 --disk a:64M --disk b:64M --disk c:64M
#
# The classic bitmap of a raid1: added and removed while the array is written to, found again after a crash, and used
# for the return of a member.
set -euo pipefail
# shellcheck source=tests/lib/guest.sh
source "$(dirname "$0")/../lib/guest.sh"

put N $MD_PARAMS/legacy_async_del_gendisk
MD=/sys/block/md0/md
BITMAP=$MD/bitmap

# idle: waits until no pass runs.
idle() {
	local i
	mdadm --wait /dev/md0 || true
	for ((i = 0; i < 300; i++)); do
		[[ $(cat $MD/sync_action) == idle ]] && return
		sleep 0.1
	done
	fail "not idle: $(cat /proc/mdstat)"
}

# files: what is in the directory of the bitmap.
files() { find $BITMAP -mindepth 1 -printf '%f\n' | sort | xargs; }

# dirty DEVICE: how many bits are set on media, as mdadm sees them.
dirty() { mdadm -X "$1" | sed -n 's/.* \([0-9]*\) dirty.*/\1/p'; }

# written DEVICE: sectors written to it so far.
written() { awk '{ print $7 }' "/sys/block/$(basename "$1")/stat"; }

# leg DEVICE: a checksum of the data of a member, read from media.
leg() {
	local offset
	offset=$(mdadm --examine "$1" | awk '/Data Offset/ { print $4 }')
	dd if="$1" bs=1M iflag=direct,skip_bytes,count_bytes skip=$((offset * 512)) count=$((SIZE * 512)) status=none |
		sha256sum | cut -d' ' -f1
}

step "an array without a bitmap says so"
mdadm --create /dev/md0 --run --bitmap=none --level=1 --assume-clean --raid-devices=2 /dev/vda /dev/vdb
SIZE=$(cat /sys/block/md0/size)
same location none "$(cat $BITMAP/location)"
same bitmap_type "[none] bitmap llbitmap " "$(cat $MD/bitmap_type)"
same files location "$(files)"
refuses EINVAL 0 $BITMAP/location
refuses EINVAL +8x $BITMAP/location
refuses EINVAL file:/b $BITMAP/location
takes none $BITMAP/location

step "a bitmap comes and goes while the array is written to"
fio --name=load --filename=/dev/md0 --rw=randwrite --bs=4k --direct=1 --ioengine=libaio --iodepth=8 --time_based \
	--runtime=60 --output=/tmp/fio.log &
LOAD=$!
for turn in 1 2; do
	mdadm --grow /dev/md0 --bitmap=internal
	same "location, turn $turn" +8 "$(cat $BITMAP/location)"
	same "files, turn $turn" "backlog can_clear chunksize location max_backlog_used metadata space time_base" "$(files)"
	mdadm --detail /dev/md0 | grep -q 'Intent Bitmap : Internal' || fail "$(mdadm --detail /dev/md0)"
	grep -q '^      bitmap: [0-9]*/[0-9]* pages \[[0-9]*KB\], [0-9]*KB chunk$' /proc/mdstat || fail "$(cat /proc/mdstat)"
	same consistency_policy bitmap "$(cat $MD/consistency_policy)"
	same bitmap_type "none [bitmap] llbitmap " "$(cat $MD/bitmap_type)"
	refuses EBUSY +16 $BITMAP/location
	refuses EBUSY llbitmap $MD/bitmap_type
	mdadm --grow /dev/md0 --bitmap=none
	same "location, turn $turn" none "$(cat $BITMAP/location)"
	same "files, turn $turn" location "$(files)"
	! grep -q bitmap: /proc/mdstat || fail "$(cat /proc/mdstat)"
done
kill $LOAD
wait $LOAD || true

step "a place that holds no bitmap is refused, and the array stays without one"
same "a place in the data" EINVAL "$(errno_of put +100000 $BITMAP/location)"
same "a place without a bitmap" EINVAL "$(errno_of put +24 $BITMAP/location)"
same location none "$(cat $BITMAP/location)"
same files location "$(files)"

step "the marks of a new bitmap are cleared in time without any write"
mdadm --grow /dev/md0 --bitmap=internal --bitmap-chunk=64K --delay=1
await "chunks marked" 0 bits_set /dev/vda

step "settings of a bitmap"
same chunksize 65536 "$(cat $BITMAP/chunksize)"
same metadata internal "$(cat $BITMAP/metadata)"
takes 2 $BITMAP/time_base
takes 0.25 $BITMAP/time_base 0.250
takes 0 $BITMAP/time_base 0.001
refuses EINVAL . $BITMAP/time_base
refuses EINVAL 16384 $BITMAP/backlog
refuses EINVAL 256 $BITMAP/backlog
refuses EINVAL 0 $BITMAP/space
refuses EBUSY 131072 $BITMAP/chunksize
refuses EINVAL 1000 $BITMAP/chunksize
for text in x 1-x 5-3 99999999 0-18446744073709551615; do
	same "bitmap_set_bits of $text" EINVAL "$(errno_of put $text $MD/bitmap_set_bits)"
done

# forgotten: waits until no bit is set on media.
forgotten() {
	local i
	put 0.1 $BITMAP/time_base
	for ((i = 0; i < 200; i++)); do
		[[ $(dirty /dev/vda) == 0 ]] && break
		sleep 0.1
	done
	same "bits left" 0 "$(dirty /dev/vda)"
	put 60 $BITMAP/time_base
}

step "chunks that are written to are marked on media, and forgotten later"
forgotten
for ((i = 0; i < 5; i++)); do
	dd if=/dev/urandom of=/dev/md0 bs=4k count=1 seek=$((i * 64)) oflag=direct status=none
done
same "bits on one member" 5 "$(dirty /dev/vda)"
same "bits on the other" 5 "$(dirty /dev/vdb)"
forgotten

step "a member that comes back gets what it missed, and no more"
mdadm /dev/md0 --fail /dev/vdb --remove /dev/vdb
dd if=/dev/urandom of=/dev/md0 bs=64k count=2 seek=3 oflag=direct status=none
dd if=/dev/urandom of=/dev/md0 bs=64k count=1 seek=500 oflag=direct status=none
before=$(written /dev/vdb)
mdadm /dev/md0 --re-add /dev/vdb
idle
grep -q '\[2/2\] \[UU\]' /proc/mdstat || fail "$(cat /proc/mdstat)"
copied=$(($(written /dev/vdb) - before))
((copied >= 3 * 128 && copied < 3 * 128 + 1024)) || fail "$copied sectors written for 3 chunks of 128"
same "the legs" "$(leg /dev/vda)" "$(leg /dev/vdb)"

step "and what it may have had in its cache alone, of which there is a mark still"
dd if=/dev/urandom of=/dev/md0 bs=64k count=1 seek=20 oflag=direct status=none
mdadm /dev/md0 --fail /dev/vdb
# As a disk does that has lost power.
offset=$(mdadm --examine /dev/vdb | awk '/Data Offset/ { print $4 }')
dd if=/dev/zero of=/dev/vdb bs=64k count=1 seek=$((offset * 512 + 20 * 65536)) oflag=direct,seek_bytes \
	conv=notrunc status=none
mdadm /dev/md0 --remove /dev/vdb
mdadm /dev/md0 --re-add /dev/vdb
idle
same "the legs" "$(leg /dev/vda)" "$(leg /dev/vdb)"

step "a member that left before there were less slots does not come back by what was forgotten in quiet"
mdadm /dev/md0 --add /dev/vdc
mdadm --grow /dev/md0 --raid-devices=3
idle
forgotten
mdadm /dev/md0 --fail /dev/vdc --remove /dev/vdc
dd if=/dev/urandom of=/dev/md0 bs=64k count=1 seek=30 oflag=direct status=none
mdadm --grow /dev/md0 --raid-devices=2
mdadm --stop /dev/md0
mdadm --assemble /dev/md0 /dev/vda /dev/vdb
forgotten
put 3 $MD/raid_disks
! mdadm /dev/md0 --re-add /dev/vdc || fail "a member came back that the bitmap does not know"
mdadm --grow /dev/md0 --raid-devices=2
mdadm --zero-superblock /dev/vdc

step "a member that missed what was forgotten since does not come back by the bitmap"
mdadm /dev/md0 --fail /dev/vdb --remove /dev/vdb
dd if=/dev/urandom of=/dev/md0 bs=64k count=1 seek=7 oflag=direct status=none
mdadm /dev/md0 --add /dev/vdc
idle
put 0.1 $BITMAP/time_base
dd if=/dev/urandom of=/dev/md0 bs=64k count=1 seek=9 oflag=direct status=none
sleep 1
mdadm /dev/md0 --fail /dev/vdc --remove /dev/vdc
! mdadm /dev/md0 --re-add /dev/vdb || fail "a member came back that the bitmap does not know"
mdadm --zero-superblock /dev/vdb
mdadm /dev/md0 --add /dev/vdb
idle
same "the legs" "$(leg /dev/vda)" "$(leg /dev/vdb)"

step "what is stopped clean has no bit set, and is found again"
mdadm --stop /dev/md0
same "bits left" 0 "$(dirty /dev/vda)"
mdadm --assemble /dev/md0 /dev/vda /dev/vdb
same location +8 "$(cat $BITMAP/location)"
same sync_action idle "$(cat $MD/sync_action)"
mdadm --grow /dev/md0 --bitmap=none
mdadm --stop /dev/md0
