#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# vm: --smp 2 --disk a:64M --disk b:64M --disk c:64M --disk d:64M
#
# What mdadm's own suite does with internal bitmaps (05r1-*, 01replace), with a lockless one: it goes and a classic one
# comes, a member is added, replaced, and comes back. The same on the C driver, but for what is said to be ours.
set -euo pipefail
# shellcheck source=tests/lib/guest.sh
source "$(dirname "$0")/../lib/guest.sh"

[[ $RMD_DRIVER != rust ]] || put N $MD_PARAMS/legacy_async_del_gendisk
MD=/sys/block/md0/md
LL=$MD/llbitmap

# bits STATE: how many chunks are in a state.
bits() { sed -n "s/^$1 \([0-9]*\)$/\1/p" $LL/bits; }

# leg DEVICE: a checksum of the first chunk of data on a member.
leg() {
	local offset
	offset=$(mdadm --examine "$1" | awk '/Data Offset/ { print $4 }')
	dd if="$1" bs=64k count=1 iflag=direct,skip_bytes skip=$((offset * 512)) status=none | sha256sum
}

# write: random data into the first chunk of the array. (A second one would mark all chunks of the block of the bitmap.)
write() { dd if=/dev/urandom of=/dev/md0 bs=64k count=1 oflag=direct conv=notrunc status=none; }

# copied DEVICE BEFORE: fails unless the chunk that was written was copied since, and little else.
copied() {
	local sectors
	sectors=$(($(sectors "$1") - $2))
	((sectors >= 128 && sectors < 128 + 3000)) || fail "$sectors sectors were written to $1"
}

step "to grow a bitmap gives a classic one, whatever is asked for; it is taken away again"
mdadm --quiet --create /dev/md0 --run --bitmap=none --assume-clean --level=1 --raid-devices=2 /dev/vda /dev/vdb
mdadm --quiet --grow /dev/md0 --bitmap=lockless
same "bitmap_type" "none [bitmap] llbitmap " "$(cat $MD/bitmap_type)"
mdadm --quiet --grow /dev/md0 --bitmap=none
same "bitmap_type" "[none] bitmap llbitmap " "$(cat $MD/bitmap_type)"
mdadm --quiet --stop /dev/md0
mdadm --quiet --zero-superblock /dev/vda /dev/vdb

step "a lockless one is taken away, and a classic one comes"
mdadm --quiet --create /dev/md0 --run --bitmap=lockless --level=1 --raid-devices=2 /dev/vda /dev/vdb
write
mdadm --quiet --grow /dev/md0 --bitmap=none
[[ ! -e $LL ]] || fail "its files are still there"
same "location" none "$(cat $MD/bitmap/location)"
grep -q bitmap: /proc/mdstat && fail "$(cat /proc/mdstat)"
mdadm --quiet --grow /dev/md0 --bitmap=internal
same "location" +8 "$(cat $MD/bitmap/location)"
same "vdb" "$(leg /dev/vda)" "$(leg /dev/vdb)"
mdadm --quiet --stop /dev/md0
mdadm --quiet --zero-superblock /dev/vda /dev/vdb

step "a member is added to one more slot: it gets what was written"
mdadm --quiet --create /dev/md0 --run --bitmap=lockless --level=1 --raid-devices=2 /dev/vda /dev/vdb
idle
write
before=$(sectors vdc)
mdadm --quiet --grow /dev/md0 --raid-devices=3 --add /dev/vdc
idle
shape '[3/3] [UUU]'
same "vdc" "$(leg /dev/vda)" "$(leg /dev/vdc)"
copied vdc "$before"

step "a member that missed nothing comes back at once"
mdadm --quiet /dev/md0 --fail /dev/vdc
mdadm --quiet /dev/md0 --remove /dev/vdc
mdadm --quiet /dev/md0 --re-add /dev/vdc
idle
shape '[3/3] [UUU]'

step "a member is replaced"
before=$(sectors vdd)
mdadm --quiet /dev/md0 --add /dev/vdd
mdadm --quiet /dev/md0 --replace /dev/vda
await "state of vda" faulty cat $MD/dev-vda/state
idle
mdadm --quiet /dev/md0 --remove /dev/vda
shape '[3/3] [UUU]'
same "vdd" "$(leg /dev/vdb)" "$(leg /dev/vdd)"
copied vdd "$before"

step "a stopped array has no chunk in need of anything, and comes back whole"
write
mdadm --quiet --stop /dev/md0
mdadm --quiet --assemble /dev/md0 /dev/vdb /dev/vdc /dev/vdd
idle
shape '[3/3] [UUU]'
same "bitmap_type" "none bitmap [llbitmap] " "$(cat $MD/bitmap_type)"
same "chunks that are dirty, need a sync, or are synced" "0 0 0" \
	"$(bits dirty) $(bits 'need sync') $(bits syncing)"
same "vdd" "$(leg /dev/vdb)" "$(leg /dev/vdd)"
mdadm --quiet --stop /dev/md0
