#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# vm: --smp 2 --disk a:16M --disk b:16M --disk c:16M
#
# Defects of the C driver that are not repeated; Documentation/defects.md says which.
set -euo pipefail
# shellcheck source=tests/lib/guest.sh
source "$(dirname "$0")/../lib/guest.sh"

put N $MD_PARAMS/legacy_async_del_gendisk
MD=/sys/block/md0/md

create() {
	mdadm --quiet --create /dev/md0 --run --bitmap="$1" --level=1 --raid-devices=2 --assume-clean /dev/vda /dev/vdb
}

step "files of a bitmap are written while it and the array go"
touch /tmp/on
for file in location backlog time_base space can_clear; do
	(while [[ -e /tmp/on ]]; do put 5 $MD/bitmap/$file; done 2>/dev/null || true) &
done
for ((turn = 0; turn < 3; turn++)); do
	create internal
	for ((i = 0; i < 30; i++)); do
		put none $MD/bitmap/location 2>/dev/null && break
		sleep 0.1
	done
	same location none "$(cat $MD/bitmap/location)"
	mdadm --quiet --stop /dev/md0
done
rm /tmp/on
wait

step "an array whose bitmap cannot be read does not start, and nothing is left of the attempt"
create internal
mdadm --quiet --stop /dev/md0
# The bitmap is 8 sectors from the superblock, which is at sector 8.
for leg in vda vdb; do
	dd if=/dev/$leg of=/tmp/bitmap-$leg bs=512 skip=16 count=1 iflag=direct status=none
	dd if=/dev/zero of=/dev/$leg bs=512 seek=16 count=1 oflag=direct conv=notrunc status=none
done
! mdadm --quiet --assemble /dev/md0 /dev/vda /dev/vdb 2>/dev/null || fail "it started"
if [[ -e $MD/array_state ]]; then
	case $(cat $MD/array_state) in clear | inactive) ;; *) fail "it is $(cat $MD/array_state)" ;; esac
	mdadm --quiet --stop /dev/md0
fi
for leg in vda vdb; do
	dd if=/tmp/bitmap-$leg of=/dev/$leg bs=512 seek=16 count=1 oflag=direct conv=notrunc status=none
done
mdadm --quiet --assemble /dev/md0 /dev/vda /dev/vdb
same location +8 "$(cat $MD/bitmap/location)"

mdadm --quiet --stop /dev/md0

step "flushes and nothing else do not reach the bitmap"
create lockless
settled
before=$(cat $MD/llbitmap/bits)
for ((i = 0; i < 5; i++)); do
	sync -d /dev/md0
done
same "states of chunks" "$before" "$(cat $MD/llbitmap/bits)"
mdadm --quiet --stop /dev/md0

# offset_of_bitmap DEVICE [SECTORS]: says in a superblock (at sector 8) how many sectors from it the bitmap is.
offset_of_bitmap() {
	python3 - "$@" <<-'PYTHON'
		import os, struct, sys
		disk = os.open(sys.argv[1], os.O_RDWR)
		block = bytearray(os.pread(disk, 4096, 4096))
		struct.pack_into("<i", block, 96, int(sys.argv[2]))
		struct.pack_into("<I", block, 216, 0)
		words = struct.unpack_from("<%dI" % (64 + (struct.unpack_from("<I", block, 220)[0] + 1) // 2), block)
		total = sum(words)
		struct.pack_into("<I", block, 216, (total & 0xffffffff) + (total >> 32) & 0xffffffff)
		os.pwrite(disk, block, 4096)
		os.fsync(disk)
	PYTHON
}

step "a bitmap that is said to lie in the data is not believed, and the data stay as they are"
create internal
data=$(mdadm --examine /dev/vda | awk '/Data Offset/ { print $4 }')
dd if=/dev/urandom of=/dev/md0 bs=1M count=1 oflag=direct status=none
mdadm --quiet --stop /dev/md0
for leg in vda vdb; do
	# The one there is, and a copy of it where the superblock will say.
	dd if=/dev/$leg of=/dev/$leg bs=512 skip=16 seek=$((data + 80)) count=8 conv=notrunc,fsync status=none
	offset_of_bitmap /dev/$leg $((data + 80 - 8))
done
before=$(dd if=/dev/vda bs=512 skip="$data" count=2048 iflag=direct status=none | sha256sum)
! mdadm --quiet --assemble /dev/md0 /dev/vda /dev/vdb 2>/dev/null || fail "it started"
mdadm --quiet --stop /dev/md0 2>/dev/null || true
after=$(dd if=/dev/vda bs=512 skip="$data" count=2048 iflag=direct status=none | sha256sum)
same "the data" "$before" "$after"
for leg in vda vdb; do offset_of_bitmap /dev/$leg 8; done
mdadm --quiet --assemble /dev/md0 /dev/vda /dev/vdb
same location +8 "$(cat $MD/bitmap/location)"
mdadm --quiet --stop /dev/md0
mdadm --quiet --zero-superblock /dev/vda /dev/vdb

step "a replacement stays when there are more slots"
mdadm --quiet --create /dev/md0 --run --bitmap=none --level=1 --raid-devices=2 --assume-clean /dev/vda /dev/vdb
dd if=/dev/urandom of=/dev/md0 bs=1M count=8 oflag=direct status=none
put 100 $MD/sync_speed_max
put 100 $MD/sync_speed_min
mdadm --quiet /dev/md0 --add /dev/vdc
put want_replacement $MD/dev-vda/state
becomes "state of vdc" spare,replacement $MD/dev-vdc/state
put frozen $MD/sync_action
put 3 $MD/raid_disks
same "raid_disks" 3 "$(cat $MD/raid_disks)"
same "state of vdc" spare,replacement "$(cat $MD/dev-vdc/state)"
same "slot of vdc" 0 "$(cat $MD/dev-vdc/slot)"
put 200000 $MD/sync_speed_max
put idle $MD/sync_action
becomes "state of vdc" in_sync $MD/dev-vdc/state
same "slot of vdc" 0 "$(cat $MD/dev-vdc/slot)"
dd if=/dev/vdb of=/tmp/vdb bs=1M skip=2 count=8 iflag=direct status=none
dd if=/dev/vdc of=/tmp/vdc bs=1M skip=2 count=8 iflag=direct status=none
cmp /tmp/vdb /tmp/vdc || fail "the replacement differs"
mdadm --quiet --stop /dev/md0
mdadm --quiet --zero-superblock /dev/vda /dev/vdb /dev/vdc

step "who waits for the configuration and is killed has not held it"
dmsetup create slow --table "0 $(blockdev --getsz /dev/vdb) linear /dev/vdb 0"
settled
mdadm --quiet --create /dev/md0 --run --bitmap=none --level=1 --raid-devices=2 --assume-clean /dev/vda /dev/mapper/slow
put 1000 $MD/safe_mode_delay
dd if=/dev/zero of=/dev/md0 bs=4096 count=1 oflag=direct status=none
settled
dmsetup suspend --nolockfs slow
# Superblocks are written with the configuration locked.
put clean $MD/array_state &
sleep 1
waiting=()
# Nobody who only looks waits for a member.
timeout 20 cat $MD/array_state $MD/level $MD/degraded $MD/dev-vda/state >/dev/null || fail "files do not answer"
timeout 60 mdadm --detail /dev/md0 >/dev/null || fail "mdadm --detail does not answer"
for ((i = 0; i < 4; i++)); do
	put 512 $MD/logical_block_size 2>/dev/null &
	waiting+=($!)
done
sleep 1
kill -KILL "${waiting[@]}"
put 1000 $MD/safe_mode_delay &
sleep 0.5
dmsetup resume slow
wait || true
same "array_state" clean "$(cat $MD/array_state)"
mdadm --quiet --stop /dev/md0
settled
dmsetup remove --retry slow
rmmod md_mod
