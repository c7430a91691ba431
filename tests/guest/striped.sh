#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# linear and raid0 under stock mdadm: create, use, read-only, stop, assemble; what is refused while they run.
# vm: --mem 4G
# vm-debug: --timeout 1500
set -euo pipefail
# shellcheck source=tests/lib/guest.sh
source "$(dirname "$0")/../lib/guest.sh"

modprobe brd rd_nr=4 rd_size=8192
members=(/dev/ram0 /dev/ram1 /dev/ram2)
md=/sys/block/md0/md

# create LEVEL METADATA [OPTION...]
create() {
	local level=$1 metadata=$2
	shift 2
	mdadm --quiet --create /dev/md0 --run --metadata="$metadata" --level="$level" --raid-devices=3 "$@" \
		"${members[@]}" || fail "create $level $metadata $*"
	udevadm settle
}

# wipe: nothing of an array is left on the members.
wipe() {
	mdadm --quiet --zero-superblock "${members[@]}" || fail "zero-superblock"
}

# fill: writes every sector, with contents that tell where they belong.
fill() {
	fio --name=fill --filename=/dev/md0 --rw=randwrite --bs=4k --direct=1 --ioengine=libaio --iodepth=16 \
		--verify=crc32c --verify_fatal=1 --do_verify=1 --verify_state_save=0 --minimal >/dev/null || fail "fio verify"
}

versions=(1.2 1.1 1.0 0.90)
# The debug kernel is there to find races and misuse, not for every combination.
[[ ${RMD_KERNEL:-} != debug ]] || versions=(1.2)
for level in linear 0; do
	for metadata in "${versions[@]}"; do
		step "level $level, metadata $metadata"
		create "$level" "$metadata"
		same "array_state" clean "$(cat $md/array_state)"
		same "metadata_version" "$metadata" "$(cat $md/metadata_version)"
		same "raid_disks" 3 "$(cat $md/raid_disks)"
		same "bitmap/location" none "$(cat $md/bitmap/location)"
		same "slots" "012" "$(cat $md/rd0/slot $md/rd1/slot $md/rd2/slot | tr -d '\n')"
		same "holders" md0 "$(ls /sys/block/ram1/holders)"
		grep -q '^md0 : active \(raid0\|linear\) ram' /proc/mdstat || fail "mdstat: $(cat /proc/mdstat)"
		mdadm --detail /dev/md0 | grep -q 'State : clean' || fail "detail"
		fill
		before=$(sha256sum </dev/md0)
		mdadm --quiet --stop /dev/md0
		mdadm --quiet --assemble /dev/md0 "${members[@]}" || fail "assemble"
		same "data after an assembly" "$before" "$(sha256sum </dev/md0)"
		mdadm --quiet --stop /dev/md0
		wipe
	done
done

step "members of different sizes make several zones"
dd if=/dev/zero of=/dev/shm/small bs=1M count=5 status=none
modprobe loop
losetup /dev/loop0 /dev/shm/small
members=(/dev/ram0 /dev/loop0 /dev/ram2)
create 0 1.2 --chunk=64
fill
mdadm --quiet --stop /dev/md0
mdadm --quiet --assemble /dev/md0 "${members[@]}"
fio --name=read --filename=/dev/md0 --rw=read --bs=1M --direct=1 --minimal >/dev/null || fail "read"
mdadm --quiet --stop /dev/md0
wipe
members=(/dev/ram0 /dev/ram1 /dev/ram2)

step "a file system, discards and flushes"
create 0 1.2
mkfs.ext4 -q /dev/md0
mount -o discard /dev/md0 /mnt
cp -r /etc /mnt/
sync
rm -r /mnt/etc
fstrim /mnt
dd if=/dev/urandom of=/mnt/synced bs=4k count=100 oflag=direct,sync status=none
umount /mnt
e2fsck -fn /dev/md0 >/dev/null || fail "e2fsck"

step "what a running array refuses"
cd $md
refuses EINVAL raid5 level
refuses EBUSY 3 layout
refuses EBUSY 4096 chunk_size
refuses EINVAL 4 raid_disks
refuses EINVAL 1000 component_size
refuses EBUSY 0 resync_start
refuses EBUSY 1.0 metadata_version
same bitmap_type "[none] bitmap llbitmap " "$(cat bitmap_type)"
refuses EBUSY none bitmap_type
refuses EBUSY resync consistency_policy
refuses EBUSY 0 reshape_position
refuses EBUSY faulty dev-ram0/state
refuses EBUSY remove dev-ram0/state
refuses EINVAL garbage dev-ram0/state
refuses EBUSY 1 dev-ram0/slot
refuses EBUSY 1 dev-ram0/offset
refuses EINVAL 1 dev-ram0/size
refuses EINVAL +8 bitmap/location
refuses E2BIG 999999999999 array_size
takes 16384 array_size
same "size of the disk" 32768 "$(cat /sys/block/md0/size)"
takes default array_size
cd /
same "SET_DISK_FAULTY" EBUSY "$(ioctl /dev/md0 0x929 "$(stat -c %r /dev/ram0)")"
same "HOT_REMOVE_DISK" EBUSY "$(ioctl /dev/md0 0x922 "$(stat -c %r /dev/ram0)")"
same "RUN_ARRAY" EBUSY "$(ioctl /dev/md0 0x400c0930)"
same "RESTART_ARRAY_RW" EBUSY "$(ioctl /dev/md0 0x934)"
same "a member in use" EBUSY "$(python3 -c '
import errno, os
try:
    os.open("/dev/ram0", os.O_RDWR | os.O_EXCL)
    print("OK")
except OSError as error:
    print(errno.errorcode[error.errno])')"
same "rmmod while an array runs" 1 "$(rmmod md_mod 2>/dev/null && echo 0 || echo 1)"

step "read-only"
mdadm --quiet --readonly /dev/md0
same "array_state" readonly "$(cat $md/array_state)"
same "a write" EPERM "$(errno_of dd if=/dev/zero of=/dev/md0 bs=4k count=1 oflag=direct)"
mdadm --quiet --readwrite /dev/md0
same "array_state" clean "$(cat $md/array_state)"
set_state read-auto md0
same "array_state" read-auto "$(cat $md/array_state)"
dd if=/dev/zero of=/dev/md0 bs=4k count=1 oflag=direct status=none
same "array_state after a write" clean "$(cat $md/array_state)"

step "an array that is open is not stopped"
exec 3</dev/md0
same "stop" 1 "$(mdadm --quiet --stop /dev/md0 2>/dev/null && echo 0 || echo 1)"
exec 3<&-
set_state inactive md0
same "array_state" inactive "$(cat $md/array_state)"
same "size of the disk" 0 "$(cat /sys/block/md0/size)"
same "what is left of bitmap/" location "$(ls $md/bitmap)"
put active $md/array_state
same "array_state" clean "$(cat $md/array_state)"
set_state clear md0
same "arrays left" 0 "$(arrays)"

step "a member short, foreign or damaged"
same "assemble two of three" 1 \
	"$(mdadm --quiet --assemble /dev/md0 /dev/ram0 /dev/ram1 2>/dev/null && echo 0 || echo 1)"
mdadm --quiet --stop /dev/md0 2>/dev/null || true
dd if=/dev/urandom of=/dev/ram1 bs=512 seek=8 count=1 conv=notrunc status=none
same "assemble with a damaged superblock" 1 \
	"$(mdadm --quiet --assemble /dev/md0 "${members[@]}" 2>/dev/null && echo 0 || echo 1)"
mdadm --quiet --stop /dev/md0 2>/dev/null || true
same "arrays left" 0 "$(arrays)"
