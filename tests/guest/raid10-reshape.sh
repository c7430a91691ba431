#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# vm: --smp 2 --disk a:24M --disk b:24M --disk c:24M --disk d:24M --disk e:24M --timeout 1200
#
# A raid10 is reshaped while it is written and read: more and fewer members, another chunk, near to offset copies; each
# is stopped half-way and goes on when the array is assembled. Others lose a member half-way (more of them with
# RMD_LONG=1). What cannot be done is refused, and changes nothing.
set -euo pipefail
# shellcheck source=tests/lib/guest.sh
source "$(dirname "$0")/../lib/guest.sh"

put N $MD_PARAMS/legacy_async_del_gendisk
MD=/sys/block/md0/md
DISKS=(/dev/vda /dev/vdb /dev/vdc /dev/vdd /dev/vde)

# load KIB: writes and reads the first KIB of the array, and keeps what is to be there in /tmp/want, until told to end.
load() {
	rm -f /tmp/end
	python3 - "$1" <<-'PYTHON' >/tmp/load 2>&1 &
		import mmap, os, random, sys
		array = os.open("/dev/md0", os.O_RDWR | os.O_DIRECT)
		want = os.open("/tmp/want", os.O_RDWR)
		blocks, count = int(sys.argv[1]) // 4, 0
		buffer = mmap.mmap(-1, 65536)
		while not os.path.exists("/tmp/end"):
		    length = random.choice((1, 1, 2, 5, 16)) * 4096
		    at = random.randrange(blocks - length // 4096) * 4096
		    view = memoryview(buffer)[:length]
		    if random.random() < 0.5:
		        data = os.urandom(length)
		        view[:] = data
		        assert os.pwritev(array, [view], at) == length
		        os.pwrite(want, data, at)
		    else:
		        assert os.preadv(array, [view], at) == length
		        assert bytes(view) == os.pread(want, length, at), f"read {length} at {at}"
		    count += 1
		print(f"{count} requests")
	PYTHON
	LOAD=$!
}

# unload: the load has found nothing wrong.
unload() {
	touch /tmp/end
	wait "$LOAD" || fail "load: $(cat /tmp/load)"
	cat /tmp/load
}

# intact KIB: the first KIB of the array are what was written.
intact() { cmp -n $(($1 * 1024)) /tmp/want /dev/md0 || fail "the data changed"; }

# create KIND LAYOUT CHUNK COUNT: an array of so many members, full of what is in /tmp/want.
create() {
	MEMBERS=$4
	mdadm --quiet --create /dev/md0 --run --assume-clean --bitmap="$1" --level=10 --layout="$2" --chunk="$3" \
		--data-offset=2M --size=16M --raid-devices="$4" "${DISKS[@]:0:$4}"
	dd if=/dev/urandom of=/tmp/want bs=512 count="$(cat /sys/block/md0/size)" status=none
	dd if=/tmp/want of=/dev/md0 bs=1M oflag=direct status=none
}

# halfway DIRECTION ARGUMENT...: mdadm --grow with these, under load of the first KIB, up to half of them. The load goes
# on.
KIB=32768
halfway() {
	local direction=$1 half
	shift
	half=$((KIB & ~1023))
	put "$half" $MD/sync_max
	load $KIB
	mdadm --quiet --grow /dev/md0 "$@"
	await "sync_completed" "$half" cut -d ' ' -f 1 $MD/sync_completed
	same "sync_action" reshape "$(cat $MD/sync_action)"
	same "reshape_direction" "$direction" "$(cat $MD/reshape_direction)"
	shape "reshape ="
	[[ $(cat $MD/reshape_position) != none ]] || fail "no reshape_position"
	sleep 1
}

# restarted DISK...: the array is stopped and assembled of these, under load again.
restarted() {
	unload
	intact $KIB
	mdadm --quiet --stop /dev/md0
	mdadm --examine "$1" | grep -q "Reshape pos'n" || fail "the superblock knows of no reshape"
	mdadm --quiet --assemble --run /dev/md0 "$@"
	load $KIB
}

# finished: the reshape has come to its end, and the load has found nothing wrong.
finished() {
	put max $MD/sync_max
	await "reshape_position" none cat $MD/reshape_position
	idle
	unload
	intact $KIB
}

# through DIRECTION ARGUMENT...: such a reshape, stopped in between.
through() {
	halfway "$@"
	restarted "${DISKS[@]:0:MEMBERS}"
	finished
}

# lost DISK: it fails and is removed, and the reshape goes on without it.
lost() {
	mdadm --quiet /dev/md0 --fail "$1"
	await "removal of $1" 0 remove "$1"
	await "sync_action" reshape cat $MD/sync_action
	[[ $(cat $MD/reshape_position) != none ]] || fail "the reshape ended with the member"
}

remove() { mdadm --quiet /dev/md0 --remove "$1" 2>/dev/null; echo $?; }

# rebuilt DISK: what was lost becomes a member again, and is given all: what has moved no bitmap knows.
rebuilt() {
	same "degraded" 1 "$(cat $MD/degraded)"
	same "re-add after the reshape" 1 "$(mdadm --quiet /dev/md0 --re-add "$1" 2>/dev/null; echo $?)"
	mdadm --quiet /dev/md0 --add "$1"
	idle
	intact $KIB
}

# settled_as LAYOUT CHUNK MEMBERS KIB: what the array is after it, and after it was assembled again.
settled_as() {
	for _ in once again; do
		same "layout" "$1" "$(cat $MD/layout)"
		same "chunk_size" $(($2 * 1024)) "$(cat $MD/chunk_size)"
		same "raid_disks" "$3" "$(cat $MD/raid_disks)"
		same "size" $(($4 * 2)) "$(cat /sys/block/md0/size)"
		same "degraded" 0 "$(cat $MD/degraded)"
		copies "${DISKS[@]:0:$3}"
		mdadm --quiet --stop /dev/md0
		mdadm --quiet --assemble /dev/md0 "${DISKS[@]:0:MEMBERS}"
	done
}

# gone: there is no array any more.
gone() {
	mdadm --quiet --stop /dev/md0
	mdadm --quiet --zero-superblock "${DISKS[@]}" 2>/dev/null || true
}

for disk in "${DISKS[@]}"; do
	dd if=/dev/urandom of="$disk" bs=1M status=none oflag=direct 2>/dev/null || true
done

step "four members become five"
create internal n2 16 4
mdadm --quiet --add /dev/md0 /dev/vde
MEMBERS=5
through forwards --raid-devices=5
settled_as 258 16 5 40960

step "five members become four"
same "without making it smaller" 1 "$(mdadm --quiet --grow /dev/md0 --raid-devices=4 2>/dev/null; echo $?)"
same "raid_disks" 5 "$(cat $MD/raid_disks)"
mdadm --quiet --grow /dev/md0 --array-size=32768
through backwards --raid-devices=4
settled_as 258 16 4 32768
gone

step "another chunk"
create none n2 16 4
through forwards --chunk=64 --data-offset=1M
settled_as 258 64 4 32768
gone

step "near copies become offset copies"
create internal n2 32 4
through backwards --layout=o2
settled_as 66049 32 4 32768
gone

step "a member fails while near copies become offset copies, and the array is assembled without it"
create internal n2 32 4
halfway backwards --layout=o2
lost /dev/vdc
restarted /dev/vda /dev/vdb /dev/vdd
finished
rebuilt /dev/vdc
settled_as 66049 32 4 32768
gone

if [[ -n ${RMD_LONG:-} ]]; then
	step "a member fails while chunks change, and stays to be added again"
	create internal n2 16 4
	halfway forwards --chunk=64 --data-offset=1M
	mdadm --quiet /dev/md0 --fail /dev/vdb
	becomes "state of vdb" faulty $MD/dev-vdb/state
	finished
	put re-add $MD/dev-vdb/state
	idle
	intact $KIB
	settled_as 258 64 4 32768
	gone

	for disk in /dev/vda /dev/vde; do
		step "$disk fails while four members become five"
		create internal n2 16 4
		mdadm --quiet --add /dev/md0 /dev/vde
		MEMBERS=5
		halfway forwards --raid-devices=5
		lost $disk
		finished
		rebuilt $disk
		settled_as 258 16 5 40960
		gone
	done
	for disk in /dev/vda /dev/vde; do
		step "$disk fails while five members become four"
		create internal n2 16 5
		mdadm --quiet --grow /dev/md0 --array-size=$KIB
		halfway backwards --raid-devices=4
		lost $disk
		finished
		# One that was to leave is not missed, and takes the place of one that was to stay.
		first=/dev/vda
		[[ $disk == /dev/vde ]] || first=/dev/vde
		same "degraded" 0 "$(cat $MD/degraded)"
		copies $first /dev/vdb /dev/vdc /dev/vdd
		gone
	done
fi

step "what cannot be reshaped"
create lockless n2 16 4
mdadm --quiet --add /dev/md0 /dev/vde
same "reshape with a lockless bitmap" 1 "$(mdadm --quiet --grow /dev/md0 --raid-devices=5 2>/dev/null; echo $?)"
refuses EBUSY 5 $MD/raid_disks
refuses EBUSY 32768 $MD/chunk_size
same "raid_disks" 4 "$(cat $MD/raid_disks)"
same "reshape_position" none "$(cat $MD/reshape_position)"
# mdadm leaves it frozen.
put idle $MD/sync_action
idle
intact 32768
gone
create none f2 16 4
refuses EINVAL 5 $MD/raid_disks
refuses EINVAL 32768 $MD/chunk_size
refuses EINVAL 258 $MD/layout
same "a reshape without room for it" EINVAL "$(errno_of put reshape $MD/sync_action)"
intact 32768
gone
create none n2 16 4
refuses EINVAL 259 $MD/layout
refuses EINVAL 20480 $MD/chunk_size
refuses EINVAL 0 $MD/raid_disks
takes 5 $MD/raid_disks 4
same "a reshape without a spare" EINVAL "$(errno_of put reshape $MD/sync_action)"
takes 4 $MD/raid_disks
same "a reshape without room for it" EINVAL "$(errno_of put reshape $MD/sync_action)"
intact 32768
gone
rmmod md_mod
