#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# vm: --smp 2 --disk a:64M --disk b:64M
#
# What comes before what in a raid1 with a bitmap, on members that are slow where it shows: no data before its mark,
# also not that of a second write to a chunk; who waits for a page of the lockless bitmap is let in when the daemon
# gives up; pages are idle only when they are. Names of steps as arguments: only these.
#
# On the C driver the steps about marks and idle pages fail.
set -euo pipefail
# shellcheck source=tests/lib/guest.sh
source "$(dirname "$0")/../lib/guest.sh"

put N $MD_PARAMS/legacy_async_del_gendisk
modprobe dm-delay 2>/dev/null || true
MD=/sys/block/md0/md
# Sectors of the members: superblock up to BITMAP, the bitmap up to DATA. Data from SLOW on may be slow, too.
BITMAP=16 DATA=2048
END=$(blockdev --getsz /dev/vda)
SLOW=$((END - 8 * 2048))

# speed MARKS DATA: writes to the bitmap, and to the last data, take so many milliseconds; flushes take none.
speed() {
	local leg
	for leg in a b; do
		local device=/dev/vd$leg
		delay() { echo "$1 $(($2 - $1)) delay $device $1 0 $device $1 $3 $device $1 0"; }
		dmsetup reload $leg --table "0 $BITMAP linear $device 0
$(delay $BITMAP $DATA "$1")
$DATA $((SLOW - DATA)) linear $device $DATA
$(delay $SLOW "$END" "$2")"
		dmsetup suspend --nolockfs $leg
		dmsetup resume $leg
	done
	settled
}

# create BITMAP [CHUNK]: an array on the two, dirty from now on, and its bitmap in use. Chunks are of 64 KiB.
create() {
	mdadm --quiet --create /dev/md0 --run --assume-clean --metadata=1.2 --data-offset=1M --level=1 --raid-devices=2 \
		--bitmap="$1" ${2:+--bitmap-chunk=$2} /dev/mapper/a /dev/mapper/b
	put 1000 $MD/safe_mode_delay
	[[ $1 != lockless ]] || put "${SLEEP:-1000}" $MD/llbitmap/daemon_sleep
	dd if=/dev/zero of=/dev/md0 bs=4k count=1 oflag=direct conv=notrunc status=none
}

destroy() {
	speed 0 0
	mdadm --quiet --stop /dev/md0
	mdadm --quiet --zero-superblock /dev/mapper/a /dev/mapper/b
}

for leg in a b; do
	dmsetup create $leg --table "0 $END linear /dev/vd$leg 0"
done
udevadm settle

cat >/tmp/second.py <<-'PYTHON'
	# Two writes to one chunk, the second while the mark of the first is on its way. They come from the page cache, that
	# is, plugged. Arguments: byte and bits of the mark, letters that are on media nowhere yet. Looks at media meanwhile.
	import mmap, os, sys, threading, time
	byte, mask = int(sys.argv[1]), int(sys.argv[2])
	ONE, OTHER = (bytes([letter]) for letter in sys.argv[3].encode())
	BLOCK, CHUNK, DATA = 4096, 600 * 65536, 2048 * 512
	array = os.open("/dev/md0", os.O_RDWR)
	legs = [os.open(leg, os.O_RDONLY | os.O_DIRECT) for leg in ("/dev/vda", "/dev/vdb")]

	def block(fd, at):
	    data = mmap.mmap(-1, BLOCK)
	    os.preadv(fd, [data], at)
	    return data

	def marked(leg):
	    at = 16 * 512 + byte
	    return block(leg, at & ~4095)[at & 4095] & mask != 0

	def write(at, letter, took):
	    start = time.monotonic()
	    os.pwrite(array, letter * BLOCK, CHUNK + at)
	    os.fdatasync(array)
	    took[letter] = time.monotonic() - start
	    for leg in legs:
	        if not marked(leg):
	            wrong.append(f"write {letter} has ended, and its mark is not on media")

	wrong, took = [], {}
	if any(marked(leg) for leg in legs):
	    sys.exit("the chunk is marked from the start")
	first = threading.Thread(target=write, args=(0, ONE, took))
	second = threading.Thread(target=write, args=(8192, OTHER, took))
	first.start()
	time.sleep(0.3)
	second.start()
	while first.is_alive() or second.is_alive():
	    for leg in legs:
	        for at, letter in (0, ONE), (8192, OTHER):
	            if block(leg, DATA + CHUNK + at)[0:1] == letter and not marked(leg):
	                wrong.append(f"data {letter} is on media, and its mark is not")
	    time.sleep(0.02)
	if took[ONE] < 1:
	    wrong.append("the mark was not waited for at all: is the bitmap slow?")
	sys.exit("; ".join(sorted(set(wrong))) or 0)
PYTHON

second_write_lockless() {
	step "lockless: data is not on media before its mark, whoever marks the chunk"
	create lockless
	speed 2000 0
	python3 /tmp/second.py $((1024 + 600)) 2 AB || fail "marks and data"
	destroy
}

second_write_classic() {
	step "classic: the same"
	create internal 64K
	# A new bitmap has all bits set.
	put 0.1 $MD/bitmap/time_base
	await "bits that are set" 0 bits_set /dev/mapper/a
	put 1000 $MD/bitmap/time_base
	speed 2000 0
	python3 /tmp/second.py $((256 + 600 / 8)) $((1 << 600 % 8)) CD || fail "marks and data"
	destroy
}

cat >/tmp/waits.py <<-'PYTHON'
	# One slow write in a page of the bitmap, and quick ones: the daemon, which waits for the slow one, has them wait
	# until it gives up. None waits for the slow one to end.
	import mmap, os, sys, threading, time
	array = os.open("/dev/md0", os.O_RDWR | os.O_DIRECT)
	data = mmap.mmap(-1, 4096)
	end = os.lseek(array, 0, os.SEEK_END)
	slow = threading.Thread(target=os.pwrite, args=(array, data, end - 65536))
	slow.start()
	start, longest = time.monotonic(), 0
	# Whoever uses a page keeps the daemon away from it.
	time.sleep(4)
	while slow.is_alive():
	    began = time.monotonic()
	    os.pwrite(array, data, 65536)
	    if not slow.is_alive() and time.monotonic() - began > 1:
	        sys.exit("a write waited until the slow one had ended")
	    longest = max(longest, time.monotonic() - began)
	    time.sleep(0.1)
	print(f"the slow write took {time.monotonic() - start:.1f} s, the longest of the others {longest:.1f} s")
	if longest < 0.5:
	    sys.exit("the daemon did not come: nothing waited")
PYTHON

gives_up() {
	step "the daemon waits for a slow write, gives up, and lets in who waits for it"
	SLEEP=3 create lockless
	put 1 $MD/llbitmap/barrier_idle
	speed 0 15000
	python3 /tmp/waits.py || fail "who waits for the daemon"
	destroy
}

# dirty: how many chunks are.
dirty() { sed -n 's/^dirty //p' $MD/llbitmap/bits; }

idle_pages() {
	step "after a time of being read-only, pages are idle only when nobody has used them for barrier_idle"
	create lockless
	mdadm --quiet --readonly /dev/md0
	same "dirty" 0 "$(dirty)"
	mdadm --quiet --readwrite /dev/md0
	put 1000 $MD/llbitmap/barrier_idle
	put 1 $MD/llbitmap/daemon_sleep
	dd if=/dev/zero of=/dev/md0 bs=4k count=1 oflag=direct conv=notrunc status=none
	sleep 4
	same "dirty" 1 "$(dirty)"
	destroy
}

steps=("$@")
(($# > 0)) || steps=(second_write_lockless second_write_classic gives_up idle_pages)
for name in "${steps[@]}"; do
	$name
done
settled
dmsetup remove --retry a b
(($# > 0)) || rmmod md_mod
