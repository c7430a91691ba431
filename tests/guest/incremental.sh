#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# vm: --smp 2 --disk a:32M --disk b:32M --disk c:32M
#
# Arrays whose devices appear one by one, as udev reports them: `mdadm --incremental`.
set -euo pipefail
# shellcheck source=tests/lib/guest.sh
source "$(dirname "$0")/../lib/guest.sh"

put N $MD_PARAMS/legacy_async_del_gendisk
MD=/sys/block/md0/md
CONF=/tmp/mdadm.conf

# unplaced DEVICE: that the array does not run, and has not judged this member yet.
unplaced() {
	same "array_state" inactive "$(cat $MD/array_state)"
	same "slot of $1" none "$(cat "$MD/dev-$1/slot")"
	same "state of $1" spare "$(cat "$MD/dev-$1/state")"
	grep -q "^md0 : inactive .*$1\[[0-9]\](S)" /proc/mdstat || fail "$(cat /proc/mdstat)"
}

# sum: a checksum of what was written.
sum() { dd if=/dev/md0 bs=64k count=16 iflag=direct status=none | sha256sum; }

# created LEVEL DEVICE...: makes md0 with the bitmap of BITMAP, fills it, stops it.
created() {
	local level=$1
	shift
	mdadm --quiet --create /dev/md0 --run --assume-clean --bitmap=$BITMAP --metadata="$VERSION" --level="$level" \
		--raid-devices=$# "$@"
	dd if=/dev/urandom of=/dev/md0 bs=64k count=16 oflag=direct status=none
	SUM=$(sum)
	mdadm --detail --brief /dev/md0 >$CONF
	mdadm --quiet --stop /dev/md0
	udevadm settle
}

BITMAP=none
for VERSION in 1.2 0.90; do
	step "version $VERSION: a mirror starts when its last member appears"
	created 1 /dev/vda /dev/vdb /dev/vdc
	mdadm --incremental --quiet --config=$CONF /dev/vdc
	unplaced vdc
	mdadm --incremental --quiet --config=$CONF /dev/vda
	unplaced vda
	unplaced vdc
	same "raid_disks" "" "$(cat $MD/raid_disks)"
	mdadm --incremental --quiet --config=$CONF /dev/vdb
	becomes "array_state" clean $MD/array_state
	shape "[3/3] [UUU]"
	for n in a:0 b:1 c:2; do
		same "slot of vd${n%:*}" "${n#*:}" "$(cat "$MD/dev-vd${n%:*}/slot")"
	done
	same "the data" "$SUM" "$(sum)"
	mdadm --quiet --stop /dev/md0

	step "version $VERSION: it is started without a member when that is asked for, which may come later"
	mdadm --incremental --quiet --config=$CONF /dev/vda
	mdadm --incremental --quiet --config=$CONF --run /dev/vdb
	# Nothing is written to it before somebody else does: the third may still come.
	becomes "array_state" read-auto $MD/array_state
	shape "[3/2] [UU_]"
	mdadm --incremental --quiet --config=$CONF --run /dev/vdc
	[[ -e $MD/dev-vdc ]] || fail "vdc is no member"
	dd if=/dev/md0 of=/dev/md0 bs=4k count=1 iflag=direct oflag=direct conv=notrunc status=none
	becomes "slot of vdc" 2 $MD/dev-vdc/slot
	becomes "state of vdc" in_sync $MD/dev-vdc/state
	shape "[3/3] [UUU]"
	same "the data" "$SUM" "$(sum)"
	mdadm --quiet --stop /dev/md0

	step "version $VERSION: a device that disappears is failed and removed"
	mdadm --assemble --quiet --config=$CONF /dev/md0 /dev/vda /dev/vdb --run
	mdadm --quiet --incremental --fail vdb
	[[ ! -e $MD/dev-vdb ]] || fail "vdb is still there"
	shape "[3/1] [U__]"
	mdadm --quiet --stop /dev/md0
	mdadm --quiet --zero-superblock /dev/vda /dev/vdb /dev/vdc

	step "version $VERSION: a stripe"
	created 0 /dev/vda /dev/vdb
	mdadm --incremental --quiet --config=$CONF /dev/vdb
	unplaced vdb
	mdadm --incremental --quiet --config=$CONF /dev/vda
	becomes "array_state" clean $MD/array_state
	same "the data" "$SUM" "$(sum)"
	mdadm --quiet --stop /dev/md0
	mdadm --quiet --zero-superblock /dev/vda /dev/vdb
done

VERSION=1.2
for BITMAP in internal lockless; do
	step "a mirror with a bitmap: $BITMAP"
	created 1 /dev/vda /dev/vdb
	mdadm --incremental --quiet --config=$CONF /dev/vdb
	mdadm --incremental --quiet --config=$CONF /dev/vda
	becomes "array_state" clean $MD/array_state
	shape "[2/2] [UU]"
	same "consistency_policy" bitmap "$(cat $MD/consistency_policy)"
	grep -q '^ *bitmap: ' /proc/mdstat || fail "$(cat /proc/mdstat)"
	same "the data" "$SUM" "$(sum)"
	mdadm --quiet --stop /dev/md0
	mdadm --quiet --zero-superblock /dev/vda /dev/vdb
done

step "version 0.90: an array is found by the number it had"
mdadm --quiet --create /dev/md7 --run --assume-clean --bitmap=none --metadata=0.90 --level=1 --raid-devices=2 \
	/dev/vda /dev/vdb
same "md_minor" 7 "$(mdadm --examine /dev/vda | awk '/Preferred Minor/ { print $4 }')"
mdadm --quiet --stop /dev/md7
mdadm --assemble --quiet --super-minor=7 /dev/md7 /dev/vda /dev/vdb
becomes "array_state" clean /sys/block/md7/md/array_state
mdadm --quiet --stop /dev/md7
rmmod md_mod
