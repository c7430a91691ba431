#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# vm: --smp 2 --disk a:64M --disk b:64M --disk c:64M --disk d:64M --disk e:64M
#
# The passes of a raid1: resync when it is new and after a crash, recovery onto a spare, check and repair; under load,
# stopped and gone on with.
set -euo pipefail
# shellcheck source=tests/lib/guest.sh
source "$(dirname "$0")/../lib/guest.sh"

put N $MD_PARAMS/legacy_async_del_gendisk
MD=/sys/block/md0/md

# leg DEVICE: a checksum of the data of a member, read from media.
leg() {
	local offset
	offset=$(mdadm --examine "$1" | awk '/Data Offset/ { print $4 }')
	dd if="$1" bs=1M iflag=direct,skip_bytes,count_bytes skip=$((offset * 512)) count=$((SIZE * 512)) status=none |
		sha256sum | cut -d' ' -f1
}

step "a new array is resynced"
dd if=/dev/urandom of=/dev/vda bs=1M count=64 status=none oflag=direct
mdadm --create /dev/md0 --run --bitmap=none --level=1 --raid-devices=2 /dev/vda /dev/vdb
SIZE=$(cat /sys/block/md0/size)
idle
same "the legs" "$(leg /dev/vda)" "$(leg /dev/vdb)"
same "last_sync_action" resync "$(cat $MD/last_sync_action)"
same "resync_start" none "$(cat $MD/resync_start)"
shape "[2/2] [UU]"
mdadm --detail /dev/md0 | grep -q 'State : clean $' || fail "$(mdadm --detail /dev/md0)"

step "check finds what differs, repair mends it"
put check $MD/sync_action
idle
same "mismatch_cnt" 0 "$(cat $MD/mismatch_cnt)"
offset=$(mdadm --examine /dev/vdb | awk '/Data Offset/ { print $4 }')
dd if=/dev/urandom of=/dev/vdb bs=512 seek=$((offset + 5000)) count=1 oflag=direct conv=notrunc status=none
put check $MD/sync_action
idle
same "mismatch_cnt" 128 "$(cat $MD/mismatch_cnt)"
put repair $MD/sync_action
idle
same "mismatch_cnt of the repair" 128 "$(cat $MD/mismatch_cnt)"
put check $MD/sync_action
idle
same "mismatch_cnt" 0 "$(cat $MD/mismatch_cnt)"
same "the legs" "$(leg /dev/vda)" "$(leg /dev/vdb)"

step "a repair of three copies keeps the first, though that is read last"
modprobe dm-delay
dmsetup create late --table "0 131072 delay /dev/vdc 0 20"
settled
mdadm --quiet --create /dev/md1 --run --assume-clean --bitmap=none --level=1 --raid-devices=3 \
	/dev/mapper/late /dev/vdd /dev/vde
at=$(($(mdadm --examine /dev/vdd | awk '/Data Offset/ { print $4 }') + 5000))
for leg in d e; do
	dd if=/dev/urandom of=/dev/vd$leg bs=512 seek=$at count=1 oflag=direct conv=notrunc status=none
done
dd if=/dev/vdc of=/tmp/first bs=512 skip=$at count=1 iflag=direct status=none
put repair /sys/block/md1/md/sync_action
MD=/sys/block/md1/md idle
same "mismatch_cnt" 256 "$(cat /sys/block/md1/md/mismatch_cnt)"
for leg in c d e; do
	dd if=/dev/vd$leg bs=512 skip=$at count=1 iflag=direct status=none | cmp - /tmp/first ||
		fail "vd$leg has not what the first copy had"
done
mdadm --quiet --stop /dev/md1
dmsetup remove --retry late
mdadm --quiet --zero-superblock /dev/vdc /dev/vdd /dev/vde

step "a spare takes the place of a failed member, under load"
fio --name=load --filename=/dev/md0 --rw=randwrite --bs=4k --size=24M --ioengine=libaio --iodepth=8 --direct=1 \
	--time_based --runtime=12 --verify=crc32c --verify_fatal=1 --verify_state_save=0 --output-format=terse >/tmp/fio &
load=$!
sleep 1
mdadm --quiet /dev/md0 --fail /dev/vdb --remove /dev/vdb
mdadm --quiet /dev/md0 --add /dev/vdc
idle
shape "[2/2] [UU]"
same "degraded" 0 "$(cat $MD/degraded)"
same "slot of vdc" 1 "$(cat $MD/dev-vdc/slot)"
wait $load || fail "fio failed: $(cat /tmp/fio)"
same "the legs" "$(leg /dev/vda)" "$(leg /dev/vdc)"
mdadm --quiet --stop /dev/md0
mdadm --quiet --assemble /dev/md0 /dev/vda /dev/vdc
shape "[2/2] [UU]"
same "sync_action" idle "$(cat $MD/sync_action)"

step "a member that was there before is added again"
mdadm --quiet /dev/md0 --fail /dev/vda
mdadm --quiet /dev/md0 --remove /dev/vda
dd if=/dev/urandom of=/dev/md0 bs=1M count=4 oflag=direct status=none
mdadm --quiet /dev/md0 --add /dev/vda
idle
shape "[2/2] [UU]"
same "the legs" "$(leg /dev/vda)" "$(leg /dev/vdc)"

step "frozen holds a pass back, idle lets it go on; a stopped recovery goes on after an assembly"
put 1000 $MD/sync_speed_max
put 1000 $MD/sync_speed_min
put frozen $MD/sync_action
mdadm --quiet --zero-superblock /dev/vdb
mdadm --quiet /dev/md0 --fail /dev/vda
mdadm --quiet /dev/md0 --remove /dev/vda
mdadm --quiet /dev/md0 --add /dev/vdb
put frozen $MD/sync_action
sleep 1
same "sync_action" frozen "$(cat $MD/sync_action)"
put idle $MD/sync_action
becomes "sync_action" recover $MD/sync_action
sleep 3
grep -q 'recovery = ' /proc/mdstat || fail "no progress: $(cat /proc/mdstat)"
mdadm --quiet --stop /dev/md0
mdadm --quiet --assemble /dev/md0 /dev/vdc /dev/vdb
idle
shape "[2/2] [UU]"
same "the legs" "$(leg /dev/vdc)" "$(leg /dev/vdb)"

step "after a crash the legs are made to agree"
put 100 $MD/safe_mode_delay
dd if=/dev/urandom of=/dev/md0 bs=1M count=4 oflag=direct status=none
same "array_state" active "$(cat $MD/array_state)"
dd if=/dev/vdc of=/dev/vda bs=1M iflag=direct oflag=direct status=none
dd if=/dev/vdb of=/dev/vdd bs=1M iflag=direct oflag=direct status=none
mdadm --quiet --stop /dev/md0
mdadm --quiet --zero-superblock /dev/vdb /dev/vdc
offset=$(mdadm --examine /dev/vdd | awk '/Data Offset/ { print $4 }')
dd if=/dev/urandom of=/dev/vdd bs=512 seek=$((offset + 70000)) count=64 oflag=direct conv=notrunc status=none
mdadm --quiet --assemble /dev/md0 /dev/vda /dev/vdd
idle
same "last_sync_action" resync "$(cat $MD/last_sync_action)"
same "the legs" "$(leg /dev/vda)" "$(leg /dev/vdd)"
mdadm --quiet --stop /dev/md0

step "a resync that nobody is left to copy to is over at once"
put 100 /proc/sys/dev/raid/speed_limit_max
put 100 /proc/sys/dev/raid/speed_limit_min
mdadm --quiet --zero-superblock /dev/vda /dev/vdb /dev/vdc /dev/vdd || true
mdadm --quiet --create /dev/md0 --run --bitmap=none --level=1 --raid-devices=4 /dev/vda /dev/vdb /dev/vdc missing
becomes "sync_action" resync $MD/sync_action
mdadm --quiet /dev/md0 --fail /dev/vdc
sleep 1
same "sync_action" resync "$(cat $MD/sync_action)"
mdadm --quiet /dev/md0 --fail /dev/vdb
# At this speed there would be minutes to go.
becomes "sync_action" idle $MD/sync_action
same "resync_start" none "$(cat $MD/resync_start)"
shape "[4/1] [U___]"
mdadm --quiet --stop /dev/md0
rmmod md_mod
