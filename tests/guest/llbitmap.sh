#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# vm: --smp 2 --disk a:64M --disk b:64M --disk c:64M --disk d:64M --timeout 600
#
# A raid1 with a lockless bitmap under mdadm: created in sync, its chunks through their states by real I/O, discard,
# degradation, recovery, re-add, crash and the daemon; what each pass copies is counted.
set -euo pipefail
# shellcheck source=tests/lib/guest.sh
source "$(dirname "$0")/../lib/guest.sh"

put N $MD_PARAMS/legacy_async_del_gendisk
MD=/sys/block/md0/md
LL=$MD/llbitmap
# Sectors of a chunk.
CHUNK=128

# bits STATE: how many chunks are in a state.
bits() { sed -n "s/^$1 \([0-9]*\)$/\1/p" $LL/bits; }

# on_media DEVICE CHUNK: the byte of a chunk on a member, whose bitmap begins 8 sectors behind a superblock at sector 8.
on_media() {
	local at=$((16 * 512 + 1024 + $2))
	dd if="$1" bs=512 count=1 skip=$((at / 512)) iflag=direct status=none | od -An -tu1 -j $((at % 512)) -N 1 | tr -d ' '
}

# chunk_of DEVICE CHUNK: a checksum of a chunk of the array on a member.
chunk_of() {
	local offset
	offset=$(mdadm --examine "$1" | awk '/Data Offset/ { print $4 }')
	dd if="$1" bs=64k iflag=direct,skip_bytes count=1 skip=$(((offset + $2 * CHUNK) * 512)) status=none | sha256sum
}

# write CHUNK: random data into the first 4 KiB of a chunk of the array.
write() { dd if=/dev/urandom of=/dev/md0 bs=4k count=1 seek=$(($1 * CHUNK / 8)) oflag=direct conv=notrunc status=none; }

step "a new array is in sync, and nothing was copied"
before=$(sectors vdb)
mdadm --create /dev/md0 --run --bitmap=lockless --level=1 --raid-devices=2 /dev/vda /dev/vdb
idle
same "bitmap_type" "none bitmap [llbitmap] " "$(cat $MD/bitmap_type)"
CHUNKS=$(sed -n 's/^chunks //p' $LL/metadata)
same "unwritten" "$CHUNKS" "$(bits unwritten)"
same "chunksize" "chunksize $CHUNK" "$(head -n 1 $LL/metadata)"
grep -q "bitmap: .* 64KB chunk" /proc/mdstat || fail "mdstat: $(cat /proc/mdstat)"
grep -q '\[2/2\] \[UU\]' /proc/mdstat || fail "not in sync: $(cat /proc/mdstat)"
(($(sectors vdb) - before < 2000)) || fail "$(($(sectors vdb) - before)) sectors were written to vdb"
mdadm --detail /dev/md0 | grep -q 'State : clean' || fail "$(mdadm --detail /dev/md0)"

step "daemon_sleep and barrier_idle have limits"
for file in daemon_sleep barrier_idle; do
	refuses EINVAL 0 $LL/$file
	refuses EINVAL x $LL/$file
	refuses EINVAL 4294967296 $LL/$file
	takes 100 $LL/$file
done
same "proactive_sync of copies" EINVAL "$(errno_of put 1 $LL/proactive_sync)"

step "the first write to a chunk marks it on all members; the second in a block infects the block"
write 3
same "dirty" 1 "$(bits dirty)"
same "byte of chunk 3 on vda" 2 "$(on_media /dev/vda 3)"
same "byte of chunk 3 on vdb" 2 "$(on_media /dev/vdb 3)"
write 5
same "dirty" 512 "$(bits dirty)"
same "byte of chunk 500 on vdb" 2 "$(on_media /dev/vdb 500)"
same "byte of chunk 512 on vdb" 0 "$(on_media /dev/vdb 512)"
write 600
same "dirty" 513 "$(bits dirty)"

step "the daemon cleans what is not used, also on media, and is quiet then"
takes 1 $LL/barrier_idle
takes 1 $LL/daemon_sleep
write 3
await "clean" 513 bits clean
await "byte of chunk 3 on vda" 1 on_media /dev/vda 3
same "byte of chunk 600 on vdb" 1 "$(on_media /dev/vdb 600)"
sleep 1
before=$(sectors vda)
sleep 4
same "sectors written to vda by a bitmap at rest" 0 "$(($(sectors vda) - before))"

step "a discard takes chunks that it covers, and no part of one"
if (($(cat /sys/block/md0/queue/discard_max_bytes) > 0)); then
	blkdiscard --offset $((3 * 65536 + 32768)) --length 65536 /dev/md0
	same "clean" 513 "$(bits clean)"
	blkdiscard --offset $((100 * 65536 - 4096)) --length $((3 * 65536)) /dev/md0
	same "clean" 511 "$(bits clean)"
	same "unwritten" $((CHUNKS - 511)) "$(bits unwritten)"
else
	echo "no discard here"
fi

step "half of a chunk is discarded; the other half is on a new member"
write 7
blkdiscard --offset $((7 * 65536 + 32768)) --length 32768 /dev/md0 || true
mdadm --quiet /dev/md0 --fail /dev/vdb
mdadm --quiet /dev/md0 --remove /dev/vdb
mdadm --quiet /dev/md0 --add /dev/vdc
idle
grep -q '\[2/2\] \[UU\]' /proc/mdstat || fail "not recovered: $(cat /proc/mdstat)"
same "chunk 7" "$(chunk_of /dev/vda 7)" "$(chunk_of /dev/vdc 7)"
same "chunk 3" "$(chunk_of /dev/vda 3)" "$(chunk_of /dev/vdc 3)"

step "a degraded array notes what a missing member needs, and only that is copied when it is back"
await "dirty" 0 bits dirty
mdadm --quiet /dev/md0 --fail /dev/vdc
mdadm --quiet /dev/md0 --remove /dev/vdc
write 9
write 11
write 700
same "need sync" 3 "$(bits 'need sync')"
sleep 3
same "need sync" 3 "$(bits 'need sync')"
before=$(sectors vdc)
mdadm --quiet /dev/md0 --re-add /dev/vdc
idle
grep -q '\[2/2\] \[UU\]' /proc/mdstat || fail "not recovered: $(cat /proc/mdstat)"
copied=$(($(sectors vdc) - before))
((copied >= 3 * CHUNK && copied < 3 * CHUNK + 2000)) || fail "$copied sectors were written to vdc"
for chunk in 9 11 700; do
	same "chunk $chunk" "$(chunk_of /dev/vda $chunk)" "$(chunk_of /dev/vdc $chunk)"
done
await "need sync" 0 bits 'need sync'

step "a stopped array has clean chunks only, and comes back"
write 13
mdadm --quiet --stop /dev/md0
same "byte of chunk 13 on vda" 1 "$(on_media /dev/vda 13)"
mdadm --quiet --assemble /dev/md0 /dev/vda /dev/vdc
same "dirty" 0 "$(bits dirty)"
same "sync_action" idle "$(cat $MD/sync_action)"

step "after a crash only the dirty chunks are resynced"
takes 100 $LL/daemon_sleep
put 100 $MD/safe_mode_delay
write 900
same "dirty" 1 "$(bits dirty)"
dd if=/dev/vda of=/dev/vdb bs=1M iflag=direct oflag=direct status=none
dd if=/dev/vdc of=/dev/vdd bs=1M iflag=direct oflag=direct status=none
mdadm --quiet --stop /dev/md0
mdadm --quiet --zero-superblock /dev/vda /dev/vdc
before=$(sectors vdd)
mdadm --quiet --assemble /dev/md0 /dev/vdb /dev/vdd
becomes "last_sync_action" resync $MD/last_sync_action
idle
copied=$(($(sectors vdd) - before))
((copied >= CHUNK && copied < CHUNK + 2000)) || fail "$copied sectors were written to vdd"
same "need sync" 0 "$(bits 'need sync')"
same "chunk 900" "$(chunk_of /dev/vdb 900)" "$(chunk_of /dev/vdd 900)"
mdadm --quiet --stop /dev/md0
rmmod md_mod
