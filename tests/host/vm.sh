#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# scripts/vm itself: statuses, arguments, disks that outlive the guest, splats, the time limit.

set -euo pipefail

top=$(cd "$(dirname "$0")/../.." && pwd -P)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

# in_guest NAME WANTED_STATUS OPTIONS... < script: one guest; its output is kept in $work/NAME.
in_guest() {
    local name=$1 wanted=$2 status=0
    shift 2
    cat >"$work/script.sh"
    "$top/scripts/vm" --driver none "$@" >"$work/$name" 2>&1 || status=$?
    ((status == wanted)) || {
        echo "$name: status $status instead of $wanted"
        tail -n 20 "$work/$name"
        failed=1
    }
}

# says NAME TEXT: the guest's output (or the message of scripts/vm) has a line with TEXT.
says() {
    grep -qF -- "$2" "$work/$1" || {
        echo "$1: nothing says '$2'"
        failed=1
    }
}

in_guest status 7 --smp 3 --mem 1G "$work/script.sh" 'two words' '' three <<'END'
echo "args: $# $1"
echo "cpus: $(nproc)"
echo "user: $(id -u)"
for tool in mdadm fio dmsetup jq mkfs.ext4 mkfs.xfs strace python3 udevadm; do
    command -v $tool >/dev/null || echo "missing $tool"
done
mdadm --version
touch /usr/here && echo 'the root can be written'
[[ -e $RMD_TOP/scripts/vm ]] && echo 'the checkout is there'
touch "$RMD_TOP/here" 2>/dev/null || echo 'the checkout is read-only'
touch /tmp/here && echo 'there is room for files'
[[ $PWD == "$RMD_TOP" ]] && echo 'started in the checkout'
echo "alone: $(ls "$(dirname "$0")")"
pgrep -l udevd
modprobe brd && modprobe null_blk && modprobe loop && modprobe scsi_debug && modprobe dm-flakey && echo 'members load'
modprobe md_mod 2>/dev/null || echo 'no C driver'
exit 7
END
says status 'args: 3 two words'
says status 'cpus: 3'
says status 'user: 0'
says status 'mdadm - v4.'
says status 'the root can be written'
says status 'the checkout is there'
says status 'the checkout is read-only'
says status 'there is room for files'
says status 'started in the checkout'
says status 'alone: script.sh'
says status 'udevd'
says status 'members load'
says status 'no C driver'
says status 'status 7'
! grep -F missing "$work/status" || failed=1

in_guest cut 99 --disk "$work/disk:16M" "$work/script.sh" <<'END'
echo 'written before the cut' | dd of=/dev/vda conv=fsync,notrunc status=none
echo b >/proc/sysrq-trigger
sleep 60
END
says cut 'without a status'
in_guest after 0 --disk "$work/disk:16M" "$work/script.sh" <<'END'
blockdev --getsize64 /dev/vda
head -c 22 /dev/vda
END
says after 16777216
says after 'written before the cut'

in_guest splat 97 --keep-dmesg "$work/dmesg" "$work/script.sh" <<'END'
echo 'WARNING: possible circular locking dependency detected' >/dev/kmsg
END
says splat 'has a splat'
grep -qF 'possible circular' "$work/dmesg" || { echo 'the kept log lacks the splat'; failed=1; }
in_guest allowed 0 --allow-splat "$work/script.sh" <<'END'
echo 'BUG: sleeping function called from invalid context' >/dev/kmsg
END

RMD_PATIENCE=1 in_guest slow 98 --timeout 60 "$work/script.sh" <<'END'
echo 'still streamed'
sleep 600
END
says slow 'still streamed'
says slow 'time limit'

# Ended at the first look.
RMD_BOOT_LIMIT=0 in_guest unborn 96 "$work/script.sh" <<'END'
true
END
says unborn 'said nothing for'
says unborn 'was not up after'
says unborn 'once more'
says unborn 'did not come up'

in_guest panic 97 "$work/script.sh" <<'END'
echo c >/proc/sysrq-trigger
sleep 60
END
says panic 'sysrq'

exit $failed
