#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# vm: --smp 2 --disk a:64M --disk b:64M
#
# Disks that go away and disks that hang.
set -euo pipefail
# shellcheck source=tests/lib/guest.sh
source "$(dirname "$0")/../lib/guest.sh"

put N $MD_PARAMS/legacy_async_del_gendisk
MD=/sys/block/md0/md

# plug: a SCSI disk of 64 MiB; its name.
plug() {
	modprobe scsi_debug dev_size_mb=64 delay=0
	udevadm settle
	yanked=$(lsblk --nodeps --noheadings --output NAME,MODEL | awk '/scsi_debug/ { print $1; exit }')
	[[ -b /dev/$yanked ]] || fail "no SCSI disk"
}

# yank: it is pulled out.
yank() { echo 1 >/sys/block/"$yanked"/device/delete; }

unplug() {
	local i
	for ((i = 0; i < 50; i++)); do
		rmmod scsi_debug 2>/dev/null && return
		sleep 0.1
	done
	fail "scsi_debug is held"
}

load() {
	fio --name=load --filename=/dev/md0 --rw=randrw --bs=4k --size=24M --io_size=1G --ioengine=libaio --iodepth=16 \
		--direct=1 --time_based --runtime="$1" --verify=crc32c --verify_backlog=64 --verify_fatal=1 \
		--verify_state_save=0 --output=/tmp/fio
}

# loaded: waits until the load has begun to write. A disk that goes before that finds the array unused, and mdadm, which
# udev calls for a disk that is gone, closes it for a moment.
loaded() {
	local i before
	before=$(sectors md0)
	for ((i = 0; i < 600; i++)); do
		(($(sectors md0) < before + 200)) || return 0
		sleep 0.1
	done
	fail "fio does not write: $(cat /tmp/fio)"
}

step "a mirror's disk is pulled out under load, and another put in"
plug
mdadm --quiet --create /dev/md0 --run --assume-clean --bitmap=none --level=1 --raid-devices=2 /dev/vda /dev/"$yanked"
load 6 &
loader=$!
loaded
yank
wait $loader || fail "fio: $(cat /tmp/fio)"
await degraded 1 cat $MD/degraded
mdadm --quiet /dev/md0 --fail detached --remove detached || true
await "the member" gone bash -c "[[ -e $MD/dev-$yanked ]] || echo gone"
unplug
mdadm --quiet /dev/md0 --add /dev/vdb
mdadm --wait /dev/md0 || true
await degraded 0 cat $MD/degraded
echo check >$MD/sync_action
mdadm --wait /dev/md0 || true
await sync_action idle cat $MD/sync_action
same mismatch_cnt 0 "$(cat $MD/mismatch_cnt)"
mdadm --quiet --stop /dev/md0
mdadm --quiet --zero-superblock /dev/vda /dev/vdb

for level in raid0 linear; do
	step "a disk of $level is pulled out: what it had is gone, and the array says so"
	# The stock kernel's C driver has no linear.
	plug
	mdadm --quiet --create /dev/md0 --run --level=$level --raid-devices=2 /dev/vda /dev/"$yanked" || { unplug; continue; }
	yank
	dd if=/dev/zero of=/dev/md0 bs=1M count=110 oflag=direct status=none 2>/dev/null && fail "$level took a write"
	await array_state broken cat $MD/array_state
	mdadm --quiet --readonly /dev/md0
	mdadm --quiet --readwrite /dev/md0
	same "array_state, after --readwrite" broken "$(cat $MD/array_state)"
	mdadm --quiet --stop /dev/md0
	unplug
	mdadm --quiet --zero-superblock /dev/vda
done

step "what only a member has that has failed was not written"
modprobe dm_mod
for leg in a b; do
	dmsetup create $leg --table "0 131072 linear /dev/vd$leg 0"
done
udevadm settle
mdadm --quiet --create /dev/md0 --run --assume-clean --bitmap=none --level=1 --raid-devices=2 \
	/dev/mapper/a /dev/mapper/b
put 0 $MD/safe_mode_delay
dd if=/dev/zero of=/dev/md0 bs=4k count=1 oflag=direct status=none
bad=$(($(mdadm --examine /dev/mapper/b | awk '/Data Offset/ { print $4 }') + 16384))
dmsetup suspend --nolockfs --noflush a
dmsetup suspend --nolockfs --noflush b
dd if=/dev/urandom of=/dev/md0 bs=4k count=1 seek=2048 oflag=direct conv=notrunc status=none &
writer=$!
sleep 1
# It is given up at once, and that is recorded when the other answers.
mdadm --quiet /dev/md0 --fail /dev/mapper/a &
sleep 1
dmsetup reload b --table "0 $bad linear /dev/vdb 0
$bad 8 error
$((bad + 8)) $((131072 - bad - 8)) linear /dev/vdb $((bad + 8))"
dmsetup resume b
wait %2
await "state of a" faulty cat "$MD/dev-$(basename "$(readlink -f /dev/mapper/a)")/state"
dmsetup resume a
! wait $writer || fail "it was acknowledged"
mdadm --quiet --stop /dev/md0
dmsetup remove --retry a
dmsetup remove --retry b
mdadm --quiet --zero-superblock /dev/vda /dev/vdb

step "what one member missed is an error when the other does not take the record of that"
dmsetup create a --table "0 131072 linear /dev/vda 0"
dmsetup create b --table "0 131072 linear /dev/vdb 0"
udevadm settle
mdadm --quiet --create /dev/md0 --run --assume-clean --metadata=0.90 --bitmap=none --level=1 --raid-devices=2 \
	/dev/mapper/b /dev/mapper/a
put 0 $MD/safe_mode_delay
dd if=/dev/zero of=/dev/md0 bs=4k count=1 oflag=direct status=none
# The superblock is in the last whole 64 KiB but one.
dmsetup suspend --nolockfs --noflush a
dmsetup reload a --table "0 130944 linear /dev/vda 0
130944 128 error"
dmsetup resume a
dmsetup suspend --nolockfs --noflush b
dmsetup reload b --table "0 16384 linear /dev/vdb 0
16384 8 error
16392 114680 linear /dev/vdb 16392"
dmsetup resume b
! dd if=/dev/urandom of=/dev/md0 bs=4k count=1 seek=2048 oflag=direct conv=notrunc status=none 2>/dev/null ||
	fail "it was acknowledged"
grep -q '^md0 : broken' /proc/mdstat || fail "the array is not broken: $(cat /proc/mdstat)"
mdadm --quiet --stop /dev/md0
dmsetup remove --retry a
dmsetup remove --retry b
mdadm --quiet --zero-superblock /dev/vda /dev/vdb

step "a member that hangs for 20 s holds I/O up, and nothing else"
modprobe dm_mod
dmsetup create slow --table "0 131072 linear /dev/vdb 0"
udevadm settle
mdadm --quiet --create /dev/md0 --run --bitmap=none --level=1 --raid-devices=2 /dev/vda /dev/mapper/slow
mdadm --wait /dev/md0 || true
load 24 &
loader=$!
loaded
dmsetup suspend --nolockfs --noflush slow
sleep 20
# Which of them depends on whether the array was clean just then.
case $(timeout 10 cat $MD/array_state) in
active | write-pending) ;;
*) fail "array_state, with a member that hangs: '$(timeout 10 cat $MD/array_state)'" ;;
esac
dmsetup resume slow
wait $loader || fail "fio: $(cat /tmp/fio)"
same degraded 0 "$(cat $MD/degraded)"
same errors "0 0" "$(cat $MD/dev-vda/errors) $(cat $MD/dev-dm-0/errors)"
echo check >$MD/sync_action
mdadm --wait /dev/md0 || true
await sync_action idle cat $MD/sync_action
same mismatch_cnt 0 "$(cat $MD/mismatch_cnt)"
mdadm --quiet --stop /dev/md0
dmsetup remove --retry slow
