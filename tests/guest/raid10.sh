#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# vm: --smp 2 --disk a:24M --disk b:24M --disk c:24M --disk d:24M --disk e:24M
#
# A raid10 of every layout: where the copies are, what it survives, degraded start, discards, limits.
set -euo pipefail
# shellcheck source=tests/lib/guest.sh
source "$(dirname "$0")/../lib/guest.sh"

put N $MD_PARAMS/legacy_async_del_gendisk
MD=/sys/block/md0/md
DISKS=(/dev/vda /dev/vdb /dev/vdc /dev/vdd /dev/vde)

# sum DEVICE: a checksum of all its data, read from media.
sum() { dd if="$1" bs=1M iflag=direct status=none | sha256sum | cut -d' ' -f1; }

verify() {
	fio --name=verify --filename=/dev/md0 --rw=randwrite --bsrange=4k-96k --size=8M --ioengine=libaio --iodepth=16 \
		--direct=1 --verify=crc32c --do_verify=1 --verify_fatal=1 --output-format=terse >/dev/null ||
		fail "fio found wrong data"
}

# Layout, members, what mdstat says, which members can fail together, and which one more cannot.
while read -r layout members says may_fail must_stay; do
	disks=("${DISKS[@]:0:members}")
	step "$layout on $members members"
	mdadm --quiet --create /dev/md0 --run --assume-clean --bitmap=none --level=10 --layout="$layout" --chunk=16 \
		--raid-devices="$members" "${disks[@]}"
	shape "${says//_/ } [$members/$members] ["
	dd if=/dev/urandom of=/dev/md0 bs=1M oflag=direct status=none 2>/dev/null || true
	verify
	copies "${disks[@]}"
	before=$(sum /dev/md0)

	left=("${disks[@]}")
	for slot in ${may_fail//,/ }; do
		mdadm --quiet /dev/md0 --fail "${disks[slot]}"
		left[slot]=missing
	done
	same "array_state" clean "$(cat $MD/array_state)"
	same "the array" "$before" "$(sum /dev/md0)"
	stays=${disks[must_stay]##*/}
	same "one more" EBUSY "$(errno_of put faulty "$MD/dev-$stays/state")"
	same "state of $stays" in_sync "$(cat "$MD/dev-$stays/state")"
	mdadm --quiet --stop /dev/md0
	mdadm --quiet --assemble /dev/md0 --run "${disks[@]}" || true
	same "the array, degraded" "$before" "$(sum /dev/md0)"
	verify
	copies "${left[@]}"
	mdadm --quiet --stop /dev/md0

	# What must stay, and those that failed: too few.
	mdadm --quiet --zero-superblock "${disks[must_stay]}"
	rest=()
	for disk in "${left[@]}"; do
		[[ $disk == missing || $disk == "${disks[must_stay]}" ]] || rest+=("$disk")
	done
	if ((${#rest[@]} > 0)); then
		mdadm --quiet --assemble /dev/md0 --run "${rest[@]}" 2>/dev/null && fail "too few members make an array"
		[[ ! -e /sys/block/md0 ]] || mdadm --quiet --stop /dev/md0
	fi
	mdadm --quiet --zero-superblock "${disks[@]}" 2>/dev/null || true
done < <(rows <<-'LAYOUTS'
	n2 4 16K_chunks_2_near-copies 0,3 1
	long n2 3 16K_chunks_2_near-copies 1 2
	long n3 4 16K_chunks_3_near-copies 0,1 2
	f2 3 16K_chunks_2_far-copies 0 1
	long f3 4 16K_chunks_3_far-copies 2,3 1
	o2 5 16K_chunks_2_offset-copies 0,2 1
	long o3 4 16K_chunks_3_offset-copies 1,2 3
	n2 2 2_near-copies 0 1
LAYOUTS
)

step "discards"
while read -r layout members; do
	modprobe brd rd_nr=4 rd_size=24576
	disks=(/dev/ram0 /dev/ram1 /dev/ram2 /dev/ram3)
	disks=("${disks[@]:0:members}")
	mdadm --quiet --create /dev/md0 --run --assume-clean --bitmap=none --level=10 --layout="$layout" --chunk=16 \
		--raid-devices="$members" "${disks[@]}"
	dd if=/dev/urandom of=/dev/md0 bs=1M oflag=direct status=none 2>/dev/null || true
	# It begins and ends within a chunk; most of it is whole stripes. The disks then read as zeroes.
	dd if=/dev/md0 of=/tmp/want bs=1M iflag=direct status=none
	dd if=/dev/zero of=/tmp/want bs=4k seek=9 count=1285 conv=notrunc status=none
	blkdiscard --offset $((9 * 4096)) --length $((1285 * 4096)) /dev/md0
	cmp /tmp/want <(dd if=/dev/md0 bs=1M iflag=direct status=none) || fail "$layout: not what was to be discarded"
	copies "${disks[@]}"
	put 0 /sys/block/ram1/queue/discard_max_bytes
	blkdiscard --offset 8M --length 4M /dev/md0 || fail "$layout: a member without discards is an error"
	mdadm --quiet --stop /dev/md0
	mdadm --quiet --zero-superblock "${disks[@]}"
	settled
	rmmod brd
done <<-'LAYOUTS'
	n2 4
	n2 3
	f2 3
	o2 4
LAYOUTS

step "limits"
mdadm --quiet --create /dev/md0 --run --assume-clean --bitmap=none --level=10 --layout=n2 --chunk=64 --raid-devices=5 \
	"${DISKS[@]}"
queue=/sys/block/md0/queue
same "io_min" 65536 "$(cat $queue/minimum_io_size)"
same "io_opt" $((5 * 65536)) "$(cat $queue/optimal_io_size)"
same "chunk_sectors" 128 "$(cat $queue/chunk_sectors)"
same "write zeroes" 0 "$(cat $queue/write_zeroes_max_bytes)"
mdadm --quiet --stop /dev/md0
mdadm --quiet --zero-superblock "${DISKS[@]}"
rmmod md_mod
