#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# vm: --smp 2 --disk a:64M --disk b:64M
#
# I/O that must not wait (RWF_NOWAIT, which io_uring uses for all): it is served when nothing holds it up, and refused
# with EAGAIN, at once and with nothing written, when something does.
set -euo pipefail
# shellcheck source=tests/lib/guest.sh
source "$(dirname "$0")/../lib/guest.sh"

put N $MD_PARAMS/legacy_async_del_gendisk
MD=/sys/block/md0/md
DISKS=(/dev/vda /dev/vdb)

# hasty read|write BLOCK [TEXT]: 4 KiB at a block, not waiting. Prints OK or the errno's name.
hasty() {
	timeout 20 python3 - "$@" <<-'PYTHON' || echo "waited"
		import errno, mmap, os, sys
		verb, block = sys.argv[1], int(sys.argv[2])
		fd = os.open("/dev/md0", os.O_RDWR | os.O_DIRECT)
		page = mmap.mmap(-1, 4096)
		page[:1] = (sys.argv[3:] or ["x"])[0].encode()
		try:
		    if verb == "read":
		        os.preadv(fd, [page], block * 4096, os.RWF_NOWAIT)
		    else:
		        os.pwritev(fd, [page], block * 4096, os.RWF_NOWAIT)
		    print("OK")
		except OSError as error:
		    print(errno.errorcode[error.errno])
	PYTHON
}

# at BLOCK: the first byte there.
at() { dd if=/dev/md0 bs=4k skip="$1" count=1 iflag=direct status=none | head -c 1; }

create() {
	mdadm --quiet --create /dev/md0 --run --assume-clean "$@" "${DISKS[@]}"
	echo 0 >$MD/safe_mode_delay
	settled
}

destroy() {
	mdadm --quiet --stop /dev/md0
	mdadm --quiet --zero-superblock "${DISKS[@]}"
}

while read -r level bitmap; do
	step "$level, bitmap $bitmap"
	create --level="$level" --raid-devices=2 --bitmap="$bitmap"
	same "a read" OK "$(hasty read 5)"
	# The superblocks say clean, so they would have to be written first.
	same "a write to a clean array" EAGAIN "$(hasty write 5 a)"
	dd if=/dev/zero of=/dev/md0 bs=4k count=16 oflag=direct status=none
	same "array_state" active "$(cat $MD/array_state)"
	same "a write" OK "$(hasty write 5 b)"
	same "what it wrote" b "$(at 5)"

	# Sectors where writes wait.
	put 40960 $MD/suspend_hi
	same "a write where writes wait" EAGAIN "$(hasty write 5 c)"
	same "a read there" OK "$(hasty read 5)"
	same "what is there" b "$(at 5)"
	same "a write elsewhere" OK "$(hasty write 12000 d)"
	put 0 $MD/suspend_hi
	same "a write when they do not" OK "$(hasty write 5 e)"
	same "what it wrote" e "$(at 5)"
	destroy
done <<-'KINDS'
	1 none
	1 internal
	1 lockless
	10 none
KINDS

rmmod md_mod
