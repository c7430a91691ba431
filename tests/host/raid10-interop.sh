#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# long
#
# raid10 arrays go from one driver to the other and back, after a stop and after a power cut: the data is what was
# written, and after the resync every copy agrees.

set -euo pipefail

top=$(cd "$(dirname "$0")/../.." && pwd -P)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
disks=()
for disk in a b c d e f; do
    disks+=(--disk "$work/$disk:104M")
done

cat >"$work/guest.sh" <<'END'
set -euo pipefail
source "$RMD_TOP/tests/lib/guest.sh"
put N $MD_PARAMS/legacy_async_del_gendisk
LAYOUTS=("n2 5" "n3 4" "f2 3" "f3 6" "o2 5" "o3 4")
DISKS=(/dev/vda /dev/vdb /dev/vdc /dev/vdd /dev/vde /dev/vdf)

# data SEED ARRAY: what is to be in it, as many bytes as it has.
data() {
    python3 -c 'import random, sys
size = int(open("/sys/block/%s/size" % sys.argv[2]).read()) * 512
random = random.Random(sys.argv[1] + sys.argv[2])
while size > 0:
    sys.stdout.buffer.write(random.randbytes(min(size, 1 << 20)))
    size -= 1 << 20' "$1" "${2##*/}"
}

# of NUMBER: the layout and the members of an array.
of() {
    read -r layout members <<<"${LAYOUTS[$1]}"
    parts=()
    for disk in "${DISKS[@]:0:members}"; do
        parts+=("$disk$(($1 + 1))")
    done
}

create() {
    for number in "${!LAYOUTS[@]}"; do
        of "$number"
        mdadm --quiet --create "/dev/md$number" --run --assume-clean --bitmap=none --level=10 --layout="$layout" \
            --chunk=32 --raid-devices="$members" "${parts[@]}"
    done
}

# assemble: all arrays, and waits until they are in sync.
assemble() {
    for number in "${!LAYOUTS[@]}"; do
        of "$number"
        mdadm --quiet --assemble "/dev/md$number" "${parts[@]}"
    done
    for number in "${!LAYOUTS[@]}"; do
        mdadm --wait "/dev/md$number" || true
        same "sync_action of md$number" idle "$(cat "/sys/block/md$number/md/sync_action")"
        same "resync_start of md$number" none "$(cat "/sys/block/md$number/md/resync_start")"
    done
}

fill() {
    for number in "${!LAYOUTS[@]}"; do
        data "$1" "md$number" >"/dev/md$number"
    done
    sync
}

check() {
    for number in "${!LAYOUTS[@]}"; do
        of "$number"
        [[ -z $1 ]] || cmp <(data "$1" "md$number") "/dev/md$number" || fail "$layout: other data"
        python3 "$RMD_TOP/tests/lib/raid10.py" "/dev/md$number" "${parts[@]}" || fail "$layout: copies differ"
    done
}

stop() {
    mdadm --quiet --stop --scan
}

# cut: the power goes while all arrays are written.
cut() {
    for number in "${!LAYOUTS[@]}"; do
        fio --name=load --filename="/dev/md$number" --rw=randwrite --bs=4k --size=8M --ioengine=libaio --iodepth=8 \
            --direct=1 --time_based --runtime=60 --output-format=terse >/dev/null &
    done
    sleep 4
    echo b >/proc/sysrq-trigger
    sleep 60
}

partitions 6 16 "${DISKS[@]}"
for step in "$@"; do
    echo "== $step"
    case $step in
    fill:* | check:*) "${step%:*}" "${step#*:}" ;;
    *) "$step" ;;
    esac
done
END

# boot DRIVER STATUS STEP...
boot() {
    local driver=$1 wanted=$2 status=0
    shift 2
    RMD_NO_BUILD=1 "$top/scripts/vm" --driver "$driver" "${disks[@]}" -- "$work/guest.sh" "$@" || status=$?
    ((status == wanted)) || {
        echo "$driver: $*: status $status instead of $wanted"
        exit 1
    }
}

boot rust 0 create fill:1 check:1 stop
boot c 99 assemble check:1 fill:2 check:2 cut
boot rust 99 assemble check: fill:3 check:3 stop assemble check:3 cut
boot c 0 assemble check: stop
