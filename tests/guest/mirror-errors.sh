#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# vm: --smp 2 --disk a:160M --disk b:160M --disk c:160M
#
# Read and write errors of a mirror's members, at places of their own: mended, recorded as bad, healed, passed over by a
# rebuild; what cannot be read anywhere fails alone; nothing else has to wait. The argument is the level.
set -euo pipefail
# shellcheck source=tests/lib/guest.sh
source "$(dirname "$0")/../lib/guest.sh"

put N $MD_PARAMS/legacy_async_del_gendisk
MD=/sys/block/md0/md
LEVEL=${1-1}
# Where the legs have their weak place, in sectors of the device, and how much of it is.
WEAK=$((32 * 2048))
WIDTH=64

modprobe dm-flakey 2>/dev/null || true
modprobe dm-delay 2>/dev/null || true

# leg NAME DEVICE [FEATURE...]: a device that passes everything on, but for its weak place: `ok` for none, else the
# features of dm-flakey.
leg() {
	local name=$1 device=$2 size features
	size=$(blockdev --getsz "$2")
	shift 2
	features="$# $*"
	[[ $1 != ok ]] || features=0
	# Down all the time, but for a device that is to be fine.
	local up=0 down=3600
	[[ $1 != ok ]] || { up=3600 down=0; }
	local table="0 $WEAK linear $device 0
$WEAK $WIDTH flakey $device $WEAK $up $down $features
$((WEAK + WIDTH)) $((size - WEAK - WIDTH)) linear $device $((WEAK + WIDTH))"
	if [[ -e /dev/mapper/$name ]]; then
		dmsetup reload "$name" --table "$table"
		dmsetup resume "$name"
	else
		dmsetup create "$name" --table "$table"
		udevadm settle
	fi
}

# name LEG: how sysfs calls it.
name() { basename "$(readlink -f "/dev/mapper/$1")"; }

# of LEG FILE: a file of a member.
of() { cat "$MD/dev-$(name "$1")/$2"; }

# io read|write SECTOR: four KiB of the array at the sector, from or to /tmp/block.
io() {
	if [[ $1 == read ]]; then
		dd if=/dev/md0 of=/tmp/block bs=4k count=1 iflag=direct skip=$(($2 / 8)) status=none
	else
		dd if=/tmp/block of=/dev/md0 bs=4k count=1 oflag=direct seek=$(($2 / 8)) status=none
	fi
}

# reads SECTOR: that what is read there is what was written.
reads() {
	dd if=/tmp/data of=/tmp/want bs=512 count=8 skip="$1" status=none
	io read "$1" || fail "sector $1 cannot be read"
	cmp -s /tmp/block /tmp/want || fail "wrong data at sector $1"
}

# prefer LEG: this is read, the other only if need be. A raid10 reads the first that is idle.
prefer() {
	local leg word
	for leg in a b; do
		word=writemostly
		[[ $leg != "$1" ]] || word=-writemostly
		put $word "$MD/dev-$(name $leg)/state"
	done
}

leg a /dev/vda ok
leg b /dev/vdb ok
mdadm --create /dev/md0 --run --assume-clean --bitmap=none --level="$LEVEL" --raid-devices=2 /dev/mapper/a /dev/mapper/b
put 0 $MD/safe_mode_delay
dd if=/dev/urandom of=/tmp/data bs=1M count=40 status=none
dd if=/tmp/data of=/dev/md0 bs=1M oflag=direct status=none
# The weak place, in sectors of the array.
offset=$(of a offset)
weak=$((WEAK - offset))

step "a read error is mended from the other copy"
prefer a
leg a /dev/vda error_reads
reads $weak
# It cannot be read back, so it is recorded as bad, and passed over from now on.
await "bad_blocks of a" "$WEAK 8" of a bad_blocks
same "errors of a" 0 "$(of a errors)"
leg a /dev/vda ok
reads $weak
grep -qF '[2/2] [UU]' /proc/mdstat || fail "$(cat /proc/mdstat)"

step "what is written over is good again"
dd if=/tmp/data of=/tmp/block bs=512 count=8 skip=$weak status=none
io write $weak
await "bad_blocks of a" "" of a bad_blocks
reads $weak

step "a write error is narrowed down to what is bad"
leg b /dev/vdb error_writes
dd if=/tmp/data of=/tmp/run bs=512 skip=$((weak - 64)) count=192 status=none
dd if=/tmp/run of=/dev/md0 bs=96k count=1 oflag=direct,seek_bytes seek=$(((weak - 64) * 512)) \
	status=none
await "state of b" in_sync,write_mostly,write_error,want_replacement of b state
same "bad sectors of b" $WIDTH "$(of b bad_blocks | awk '{ n += $2 } END { print n }')"
same "bad_blocks of a" "" "$(of a bad_blocks)"
prefer b
for at in -64 -8 0 32 64; do
	reads $((weak + at))
done
grep -qF '[2/2] [UU]' /proc/mdstat || fail "$(cat /proc/mdstat)"

step "which outlives an assembly"
mdadm --quiet --stop /dev/md0
mdadm --quiet --assemble /dev/md0 /dev/mapper/a /dev/mapper/b
put 0 $MD/safe_mode_delay
same "bad sectors of b" $WIDTH "$(of b bad_blocks | awk '{ n += $2 } END { print n }')"
prefer b
reads $weak

step "what no copy holds fails, and nothing else does"
leg a /dev/vda error_reads
[[ $(errno_of io read $weak) == EIO ]] || fail "what cannot be read was read"
reads $((weak - 8))
reads $((weak + WIDTH))
leg a /dev/vda ok
mdadm --quiet --stop /dev/md0
mdadm --quiet --assemble /dev/md0 /dev/mapper/a /dev/mapper/b
put 0 $MD/safe_mode_delay

step "a rebuild goes on over it, and the new member knows"
leg b /dev/vdb ok
bad=$(of a bad_blocks)
mdadm --quiet /dev/md0 --fail /dev/mapper/b --remove /dev/mapper/b
mdadm --quiet /dev/md0 --add /dev/vdc
await "state of vdc" in_sync cat $MD/dev-vdc/state
same "bad_blocks of vdc" "$bad" "$(cat $MD/dev-vdc/bad_blocks)"
reads $((weak - 8))
reads $((weak + WIDTH))
if [[ -n $bad ]]; then
	[[ $(errno_of io read $weak) == EIO ]] || fail "what is bad everywhere was read"
fi
dd if=/tmp/data of=/tmp/block bs=512 count=8 skip=$weak status=none
io write $weak
reads $weak

step "the last copy reports its errors, and stays"
mdadm --quiet /dev/md0 --fail /dev/vdc --remove /dev/vdc
leg a /dev/vda error_writes
[[ $(errno_of io write $weak) == EIO ]] || fail "what cannot be written was written"
leg a /dev/vda error_reads
[[ $(errno_of io read $((weak + 16))) == EIO ]] || fail "what cannot be read was read"
leg a /dev/vda ok
reads $((weak + 16))
reads $((weak + WIDTH))
[[ $(of a state) == in_sync* ]] || fail "state of a: $(of a state)"
mdadm --quiet --stop /dev/md0
mdadm --quiet --zero-superblock /dev/mapper/a /dev/mapper/b /dev/vdc
dmsetup remove --retry a
dmsetup remove --retry b

step "a repair holds up nothing but its bucket"
# Writes to the weak place take eight seconds, reads fail.
for leg in a b; do
	device=/dev/vd$leg
	size=$(blockdev --getsz $device)
	dmsetup create weak$leg --table "0 $size flakey $device 0 3600 0"
	dmsetup create $leg --table "0 $WEAK linear $device 0
$WEAK $WIDTH delay /dev/mapper/weak$leg $WEAK 0 /dev/mapper/weak$leg $WEAK 0
$((WEAK + WIDTH)) $((size - WEAK - WIDTH)) linear $device $((WEAK + WIDTH))"
done
udevadm settle
mdadm --create /dev/md0 --run --assume-clean --bitmap=none --level="$LEVEL" --raid-devices=2 /dev/mapper/a /dev/mapper/b
put 0 $MD/safe_mode_delay
dd if=/tmp/data of=/dev/md0 bs=1M oflag=direct status=none
prefer a
size=$(blockdev --getsz /dev/vda)
dmsetup reload weaka --table "0 $size flakey /dev/vda 0 0 3600 1 error_reads"
dmsetup reload a --table "0 $WEAK linear /dev/vda 0
$WEAK $WIDTH delay /dev/mapper/weaka $WEAK 0 /dev/mapper/weaka $WEAK 8000
$((WEAK + WIDTH)) $((size - WEAK - WIDTH)) linear /dev/vda $((WEAK + WIDTH))"
dmsetup resume weaka
dmsetup resume a
began=$EPOCHREALTIME
reads $weak
# Three units of the barrier further on, while the mending write is under way.
dd if=/dev/urandom of=/dev/md0 bs=4k count=16 oflag=direct seek=$((100 * 256)) status=none
took=$(awk -v a="$began" -v b="$EPOCHREALTIME" 'BEGIN { printf "%d", (b - a) * 1000 }')
mended=$(of a bad_blocks)
echo "a read that found an error and 16 writes elsewhere took $took ms"
if [[ $RMD_DRIVER == rust ]]; then
	[[ -z $mended ]] || fail "I/O elsewhere waited for the repair: $took ms"
fi
await "bad_blocks of a" "$WEAK 8" of a bad_blocks
mdadm --quiet --stop /dev/md0
dmsetup remove --retry a b weaka weakb

step "errors that pass: a read is tried again, a write is done block by block"
modprobe scsi_debug add_host=2 per_host_store=1 dev_size_mb=32
udevadm settle
[[ -d /sys/kernel/debug/scsi_debug ]] || mount -t debugfs none /sys/kernel/debug
disks=()
for block in /sys/bus/pseudo/drivers/scsi_debug/adapter*/host*/target*/*:*/block/sd*; do
	disks+=("$(basename "$block")")
done
disk=${disks[0]}
inject=/sys/kernel/debug/scsi_debug/$(basename "$(readlink -f "/sys/block/$disk/device")")/error
mdadm --create /dev/md0 --run --assume-clean --bitmap=none --level="$LEVEL" --raid-devices=2 \
	"/dev/${disks[0]}" "/dev/${disks[1]}"
put 0 $MD/safe_mode_delay
dd if=/tmp/data of=/dev/md0 bs=1M count=16 oflag=direct status=none
put writemostly "$MD/dev-${disks[1]}/state"
udevadm settle
# The first READ(10) ends with a medium error; the member is asked once more before others are, so nothing is written.
put "2 -1 28 0 0 2 3 11 0" "$inject"
reads 4096
# shellcheck disable=SC2016 # the field is awk's
await "errors that are left" 0 awk '/^2/ { print $2 }' "$inject"
same "errors of $disk" 0 "$(cat "$MD/dev-$disk/errors")"
same "bad_blocks of $disk" "" "$(cat "$MD/dev-$disk/bad_blocks")"
same "state of $disk" in_sync "$(cat "$MD/dev-$disk/state")"
# The first WRITE(10) does.
put "2 -1 2a 0 0 2 3 11 0" "$inject"
dd if=/tmp/data of=/tmp/block bs=512 count=8 skip=8192 status=none
io write 8192
await "state of $disk" in_sync,write_error,want_replacement cat "$MD/dev-$disk/state"
same "bad_blocks of $disk" "" "$(cat "$MD/dev-$disk/bad_blocks")"
reads 8192

step "a member that is to fail fast does"
put failfast "$MD/dev-$disk/state"
put "2 -1 28 0 0 2 3 11 0" "$inject"
reads 4096
await "state of $disk" faulty,write_error,failfast cat "$MD/dev-$disk/state"
reads 4096
mdadm --quiet --stop /dev/md0
rmmod md_mod
