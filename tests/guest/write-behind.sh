#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# vm: --smp 2 --disk a:16M --disk b:16M
#
# Writes of a raid1 that are behind on a slow member: acknowledged when the others have them, as many as the backlog
# allows; what they overlap waits, be it a write or a read of the slow member; one that fails is recorded as bad. And
# serialize_policy, which has all writes wait for what they overlap.
#
# On the C driver the step about overlapping writes fails: it serializes only writes to devices with several queues.
set -euo pipefail
# shellcheck source=tests/lib/guest.sh
source "$(dirname "$0")/../lib/guest.sh"

put N $MD_PARAMS/legacy_async_del_gendisk
MD=/sys/block/md0/md
# Where the slow member is slow, in sectors of the device: behind superblock, bitmap and the first data.
SLOW=$((4 * 2048))
# Milliseconds that a write takes there; flushes, which records of superblocks begin with, take none.
DELAY=2000

modprobe dm-delay 2>/dev/null || true

# slow TARGET: has /dev/mapper/slow pass its slow part on to /dev/mapper/under, which is a linear target, or an error.
size=$(blockdev --getsz /dev/vdb)
under() { printf '0 %s linear /dev/vdb 0\n' $SLOW && printf '%s %s %s\n' $SLOW $((size - SLOW)) "$1"; }
dmsetup create under --table "$(under "linear /dev/vdb $SLOW")"
dmsetup create slow --table "0 $SLOW linear /dev/mapper/under 0
$SLOW $((size - SLOW)) delay /dev/mapper/under $SLOW 0 /dev/mapper/under $SLOW $DELAY /dev/mapper/under $SLOW 0"
udevadm settle
SLOW_NAME=$(basename "$(readlink -f /dev/mapper/slow)")

# io WRITE...: writes of 4 KiB one after the other, each as MIB:BYTE[:quick|:slow]; how long each takes is as it says.
io() { python3 /tmp/io.py "$@" || fail "io $*"; }

cat >/tmp/io.py <<-PYTHON
	import mmap, os, sys, time
	array = os.open("/dev/md0", os.O_RDWR | os.O_DIRECT)
	data = mmap.mmap(-1, 4096)
	for write in sys.argv[1:]:
	    at, byte, *speed = write.split(":")
	    data[:] = byte.encode() * 4096
	    start = time.monotonic()
	    os.pwrite(array, data, int(at) << 20)
	    ms = (time.monotonic() - start) * 1000
	    is_slow = ms >= $DELAY / 2
	    if speed and is_slow != (speed[0] == "slow"):
	        sys.exit(f"{write} took {ms:.0f} ms")
PYTHON

# byte_at DEVICE MIB: what is there.
byte_at() { dd if="$1" bs=4096 skip=$(($2 * 256)) count=1 iflag=direct status=none | head -c 1; }

# drained: waits until the slow member has everything.
drained() { sleep $((DELAY / 1000 + 1)); }

same_legs() {
	# The data: a mebibyte from the beginning on, from media.
	local leg
	for leg in vda vdb; do
		dd if=/dev/$leg bs=1M skip=1 iflag=direct status=none >/tmp/leg-$leg
	done
	cmp /tmp/leg-vda /tmp/leg-vdb || fail "the members differ"
}

step "a write is behind on a slow member, with a bitmap that allows it"
mdadm --quiet --create /dev/md0 --run --metadata=1.2 --data-offset=1M --bitmap=internal --write-behind=4 --level=1 \
	--raid-devices=2 --assume-clean /dev/vda --write-mostly /dev/mapper/slow
same "backlog" 4 "$(cat $MD/bitmap/backlog)"
grep -qF "(W)" /proc/mdstat || fail "no slow member: $(cat /proc/mdstat)"
takes 0 $MD/bitmap/backlog
io 4:a:slow
takes 4 $MD/bitmap/backlog
put 0 $MD/bitmap/max_backlog_used
io 4:b:quick
same "max_backlog_used" 1 "$(cat $MD/bitmap/max_backlog_used)"
drained

step "what overlaps it waits, and nothing else does"
io 6:c:quick 7:d:quick 6:e:slow 8:f:quick
drained

step "a read of the slow member waits for what it overlaps"
# The other one fails while the slow member does not have it yet.
io 9:g:quick
mdadm --quiet /dev/md0 --fail /dev/vda
same "the data" g "$(byte_at /dev/md0 9)"
same "the data before" e "$(byte_at /dev/md0 6)"
mdadm --quiet /dev/md0 --remove /dev/vda
mdadm --quiet /dev/md0 --re-add /dev/vda
becomes "degraded" 0 $MD/degraded
becomes "sync_action" idle $MD/sync_action
same_legs

step "no more are behind than may be"
put 0 $MD/bitmap/max_backlog_used
io 4:h:quick 5:h:quick 6:h:quick 7:h:quick 8:h:slow
same "max_backlog_used" 4 "$(cat $MD/bitmap/max_backlog_used)"
takes 0 $MD/bitmap/max_backlog_used
refuses EINVAL 16384 $MD/bitmap/backlog
put -writemostly $MD/dev-"$SLOW_NAME"/state
refuses EINVAL 5 $MD/bitmap/backlog
io 4:i:slow
put writemostly $MD/dev-"$SLOW_NAME"/state
io 4:j:quick
mdadm --quiet --stop /dev/md0
# Who stops it waits for them.
same_legs
mdadm --quiet --assemble /dev/md0 /dev/vda /dev/mapper/slow
same "backlog" 4 "$(cat $MD/bitmap/backlog)"
same "resync" 0 "$(cat $MD/degraded)"
same "the data" j "$(byte_at /dev/md0 4)"

step "one that fails after it was acknowledged is tried again block by block, and recorded as bad"
io 4:k
drained
io 4:l:quick
dmsetup suspend --nolockfs --noflush under
dmsetup reload under --table "$(under error)"
dmsetup resume under
becomes "bad_blocks" "$((2048 + 4 * 2048)) 8" $MD/dev-"$SLOW_NAME"/bad_blocks
grep -q write_error $MD/dev-"$SLOW_NAME"/state || fail "no write_error: $(cat $MD/dev-"$SLOW_NAME"/state)"
same "the data" l "$(byte_at /dev/md0 4)"
dmsetup reload under --table "$(under "linear /dev/vdb $SLOW")"
dmsetup resume under
put -write_error $MD/dev-"$SLOW_NAME"/state
io 4:m:quick
becomes "bad_blocks" "" $MD/dev-"$SLOW_NAME"/bad_blocks
same_legs
mdadm --quiet --stop /dev/md0

step "serialize_policy: members agree where programs write at a time"
dmsetup remove slow
dmsetup remove under
udevadm settle
mdadm --quiet --create /dev/md0 --run --level=0 --raid-devices=2 /dev/vda /dev/vdb
same "serialize_policy" n/a "$(cat $MD/serialize_policy)"
refuses EINVAL 1 $MD/serialize_policy
takes 0 $MD/serialize_policy n/a
mdadm --quiet --stop /dev/md0
mdadm --quiet --create /dev/md0 --run --bitmap=none --level=1 --raid-devices=2 --assume-clean /dev/vda /dev/vdb
dd if=/dev/zero of=/dev/md0 bs=1M count=4 oflag=direct status=none
takes 0 $MD/serialize_policy
refuses EINVAL 2 $MD/serialize_policy
takes 1 $MD/serialize_policy
fio --name=load --filename=/dev/md0 --direct=1 --rw=randwrite --bsrange=4k-64k --size=256k --ioengine=libaio \
	--iodepth=16 --numjobs=4 --refill_buffers --norandommap --time_based --runtime=5 >/tmp/fio 2>&1 ||
	fail "fio: $(cat /tmp/fio)"
takes 0 $MD/serialize_policy
put check $MD/sync_action
becomes "sync_action" idle $MD/sync_action
same "mismatch_cnt" 0 "$(cat $MD/mismatch_cnt)"
mdadm --quiet --stop /dev/md0
rmmod md_mod
