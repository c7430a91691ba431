#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A reboot leaves an array clean that is not being written, and a power cut leaves it as it was: three boots of one
# machine.

set -euo pipefail

top=$(cd "$(dirname "$0")/../.." && pwd -P)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# boot NAME WANTED_STATUS < script: one boot of the machine.
boot() {
    local status=0
    cat >"$work/script.sh"
    "$top/scripts/vm" --disk "$work/a:32M" --disk "$work/b:32M" "$work/script.sh" >"$work/$1" 2>&1 || status=$?
    ((status == $2)) || {
        echo "$1: status $status instead of $2"
        tail -n 20 "$work/$1"
        exit 1
    }
}

# shellcheck disable=SC2016 # expanded in the guest
prelude='
set -e
source "$RMD_TOP/tests/lib/guest.sh"
# state: what the superblock of a member says.
state() { mdadm --examine /dev/vda | awk "\$1 == \"State\" { print \$3 }"; }
# write: writes to the array and leaves it dirty.
write() {
	put 1000 /sys/block/md0/md/safe_mode_delay
	dd if=/dev/urandom of=/dev/md0 bs=4k count=1 oflag=direct status=none
	same "the superblock after a write" active "$(state)"
}
put N $MD_PARAMS/legacy_async_del_gendisk
'

boot first 99 <<END
$prelude
mdadm --quiet --create /dev/md0 --run --assume-clean --bitmap=none --level=1 --raid-devices=2 /dev/vda /dev/vdb
write
busybox reboot -f
sleep 60
END

boot second 99 <<END
$prelude
same "the superblock after a reboot" clean "\$(state)"
mdadm --quiet --assemble /dev/md0 /dev/vda /dev/vdb
write
echo b >/proc/sysrq-trigger
sleep 60
END

boot third 0 <<END
$prelude
same "the superblock after a power cut" active "\$(state)"
END
