#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# interop.sh [--all | --reshape | CASE...]: arrays go from the C driver to ours and back, and the other way round, on
# the same disks: each finds the other's data, and brings the members to the same bytes. What each writes into the
# superblocks of new arrays is compared field by field: every difference must have a reason in the list below.
#
# CASE is that of tests/lib/relay.sh. The default is a few cases in one direction, on Debian's kernel; --all is every
# metadata version and level in both, on the test kernel, as linear and lockless bitmaps are not in Debian's C driver. K
# says on which kernel else. With --reshape it is raid10s which each driver leaves half-way through a reshape, and the
# other finishes; nothing is compared field by field then. After a power cut: tests/host/powercut.sh with two drivers.

set -euo pipefail

top=$(cd "$(dirname "$0")/../.." && pwd -P)
kernel=${K:-stock}
cases=(raid1:1.2:none:2 raid1:0.90:none:2 raid0:1.0:none:2)
chains=('c rust c') end=stop
case ${1:-} in
--reshape)
    # A classic bitmap does not let C resync what added slots bring (Documentation/defects.md).
    cases=(raid10/n2:1.2:{none,internal}:4:layout raid10/n2:1.2:internal:4:chunk raid10/n2:1.2:none:5:slots)
    chains=('rust c rust c') end=pause
    ;;
--all)
    kernel=${K:-test}
    mapfile -t cases < <(printf '%s:none:2\n' {raid1,raid0,linear}:{0.90,1.0,1.1,1.2})
    chains+=('rust c rust')
    ;;
?*) cases=("$@") chains+=('rust c rust') ;;
esac
disks=$(printf '%s\n' "${cases[@]}" | cut -d : -f 4 | sort -n | tail -n 1)
[[ ${RMD_NO_BUILD:-0} == 1 ]] || "$top/scripts/build-module" "$kernel" --quiet >&2
"$top/scripts/host-cargo" build --quiet -p mdsb
mdsb=${CARGO_TARGET_DIR:-$top/build/cargo}/debug/mdsb

# explained FIELD: why the two may differ in it, or nothing.
explained() {
    case $1 in
    superblock.device_uuid | bitmap.*uuid) echo 'random for each member' ;;
    superblock.created | superblock.array.updated) echo 'the time' ;;
    superblock.array.events | bitmap.events*) echo 'counts changes between clean and dirty, which depend on time' ;;
    superblock.checksum) echo 'follows from the others' ;;
    esac
}

# slices DIR CASE NUMBER: the members of a case as files DIR/member-N.
slices() {
    local n
    for ((n = 0; n < $(cut -d : -f 4 <<<"$2"); n++)); do
        dd if="$1/disk$n" of="$1/member-$n" bs=1M skip=$((1 + 24 * ($3 - 1))) count=24 conv=sparse status=none
    done
}

# compare DIR_A DIR_B: superblocks of all members of all cases.
compare() {
    local number n a b field line reason
    for ((number = 1; number <= ${#cases[@]}; number++)); do
        slices "$1" "${cases[number - 1]}" $number
        slices "$2" "${cases[number - 1]}" $number
        for a in "$1"/member-*; do
            n=${a##*-} b=$2/member-$n
            while read -r line; do
                field=${line%% *} reason=$(explained "${line%% *}")
                if [[ -n $reason ]]; then
                    echo "$field: $reason"
                else
                    echo "unexplained, ${cases[number - 1]} member $n: $line"
                fi
            done < <("$mdsb" diff "$a" "$b" || (($? == 1)) || echo "mdsb-failed $a $b")
        done
        rm -f "$1"/member-* "$2"/member-*
    done >"$base/differences"
    sort "$base/differences" | uniq -c
    # Without any difference nothing was compared.
    [[ -s $base/differences ]] && ! grep -q '^unexplained' "$base/differences"
}

mkdir -p "$top/build"
# Below the checkout, as guests see that.
base=$(mktemp -d "$top/build/relay.XXXXXX")
trap 'rm -rf "$base"' EXIT

# chain DRIVER...: one guest after the other on the same disks. The state after the first, when all is stopped there, is
# kept in DRIVER's directory.
chain() {
    local driver n
    work=$base/chain
    rm -rf "$work"
    mkdir "$work"
    # shellcheck source=tests/lib/relay-host.sh
    . "$top/tests/lib/relay-host.sh"
    for driver in "$@"; do
        stage "$driver" "$end" "$disks" "${cases[@]}" || return
        [[ $boots != 1 || $end != stop ]] || keep "$driver"
    done
    [[ $end == stop ]] || { stage "$1" stop "$disks" "${cases[@]}" && travels; } || return
    echo "$*: data found by each, copies equal; $(wc -l <"$acks") blocks"
}

# keep DRIVER: the disks as its first stage left them.
keep() {
    mkdir -p "$base/$1"
    for ((n = 0; n < disks; n++)); do
        cp --sparse=always "$work/disk$n" "$base/$1/disk$n"
    done
}

for drivers in "${chains[@]}"; do
    # shellcheck disable=SC2086 # a list
    chain $drivers
done
if [[ $end == stop ]]; then
    ((${#chains[@]} > 1)) || chain rust
    compare "$base/c" "$base/rust"
fi
