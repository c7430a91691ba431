#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# vm: --smp 2 --disk a:96M --disk b:96M --disk c:96M
#
# A raid1 without a bitmap through its life: create, verify, fail, write degraded, stop, assemble.
set -euo pipefail
# shellcheck source=tests/lib/guest.sh
source "$(dirname "$0")/../lib/guest.sh"

put N $MD_PARAMS/legacy_async_del_gendisk
MD=/sys/block/md0/md

# state: what array_state says.
state() { cat $MD/array_state; }

# events DEVICE: the event count of a member's superblock.
events() { mdadm --examine "$1" | awk '/Events/ { print $3 }'; }

# superblock_state DEVICE: clean or active.
superblock_state() { mdadm --examine "$1" | awk '$1 == "State" { print $3 }'; }

# sum DEVICE: a checksum of all its data, read from media.
sum() { dd if="$1" bs=1M iflag=direct status=none | sha256sum | cut -d' ' -f1; }

# legs DEVICE: a checksum of the data of a member.
legs() {
	local offset
	offset=$(mdadm --examine "$1" | awk '/Data Offset/ { print $4 }')
	dd if="$1" bs=1M iflag=direct,skip_bytes,count_bytes skip=$((offset * 512)) count=$((SIZE * 512)) status=none |
		sha256sum | cut -d' ' -f1
}

verify() {
	fio --name=verify --filename="$1" --rw=randwrite --bs=4k --size="$2" --ioengine=libaio --iodepth=16 --direct=1 \
		--verify=crc32c --do_verify=1 --verify_fatal=1 --output-format=terse >/dev/null ||
		fail "fio found wrong data"
}

mapfile -t versions < <(printf '%s\n' 1.2 'long 1.0' 0.90 | rows)
for metadata in "${versions[@]}"; do
	step "create $metadata, assumed clean"
	mdadm --create /dev/md0 --run --assume-clean --metadata="$metadata" --bitmap=none --level=1 --raid-devices=2 \
		/dev/vda /dev/vdb
	SIZE=$(cat /sys/block/md0/size)
	same "degraded" 0 "$(mdadm --detail /dev/md0 | awk '/Failed Devices/ { print $4 }')"
	grep -q '\[2/2\] \[UU\]' /proc/mdstat || fail "mdstat: $(cat /proc/mdstat)"

	step "a write makes it dirty, quiet makes it clean"
	put 100 $MD/safe_mode_delay
	dd if=/dev/urandom of=/dev/md0 bs=4k count=1 oflag=direct status=none
	same "array_state" active "$(state)"
	same "superblock" active "$(superblock_state /dev/vda)"
	put 0.1 $MD/safe_mode_delay
	dd if=/dev/urandom of=/dev/md0 bs=4k count=1 oflag=direct status=none
	await "array_state" clean state
	same "superblock" clean "$(superblock_state /dev/vda)"
	same "superblock" clean "$(superblock_state /dev/vdb)"
	same "events of the two" "$(events /dev/vda)" "$(events /dev/vdb)"

	step "data"
	verify /dev/md0 8M
	mkfs.ext4 -q /dev/md0
	mount /dev/md0 /mnt
	dd if=/dev/urandom of=/mnt/file bs=1M count=16 status=none
	sync
	blkdiscard --offset 0 --length 1M /dev/md0 2>/dev/null || true
	want=$(sha256sum </mnt/file)
	umount /mnt
	if [[ $metadata != 0.90 ]]; then
		same "the legs" "$(legs /dev/vda)" "$(legs /dev/vdb)"
	fi

	step "fail one while it is written"
	fio --name=load --filename=/dev/md0 --offset=48M --rw=randwrite --bs=4k --size=16M --ioengine=libaio --iodepth=16 \
		--direct=1 --time_based --runtime=4 --verify=crc32c --verify_fatal=1 --output-format=terse >/tmp/fio &
	load=$!
	sleep 1
	mdadm --quiet /dev/md0 --fail /dev/vdb
	wait $load || fail "fio failed: $(cat /tmp/fio)"
	grep -q '\[2/1\] \[U_\]' /proc/mdstat || fail "mdstat: $(cat /proc/mdstat)"
	same "state of vdb" faulty "$(cat $MD/dev-vdb/state)"
	same "the last device" EBUSY "$(errno_of put faulty $MD/dev-vda/state)"
	same "state of vda" in_sync "$(cat $MD/dev-vda/state)"
	# C refuses, too, but has broken the array then.
	[[ $RMD_DRIVER == c ]] || same "broken" "" "$(state | grep broken || true)"
	dd if=/dev/urandom of=/dev/md0 bs=4k count=1 seek=$((48 * 256)) oflag=direct status=none

	step "remove, stop, assemble degraded"
	mdadm --quiet /dev/md0 --remove /dev/vdb
	[[ ! -e $MD/dev-vdb ]] || fail "vdb is still there"
	[[ ! -e $MD/rd1 ]] || fail "rd1 is still there"
	mdadm --quiet --stop /dev/md0
	same "superblock" clean "$(superblock_state /dev/vda)"
	mdadm --quiet --assemble /dev/md0 --run /dev/vda /dev/vdb || true
	grep -q '\[2/1\] \[U_\]' /proc/mdstat || fail "mdstat: $(cat /proc/mdstat)"
	mount /dev/md0 /mnt
	same "the file" "$want" "$(sha256sum </mnt/file)"
	umount /mnt
	verify /dev/md0 8M
	before=$(sum /dev/md0)
	mdadm --quiet --stop /dev/md0
	mdadm --quiet --assemble /dev/md0 --run /dev/vda
	same "the array" "$before" "$(sum /dev/md0)"
	mdadm --quiet --stop /dev/md0
	mdadm --quiet --zero-superblock /dev/vda /dev/vdb
done
rmmod md_mod
