#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# powercut.sh [--cuts N] [--kernel K] [--drivers D,D...] [--reshape] [CASE...]: QEMU is killed at random moments while
# arrays are written to. The acknowledgements of writes are kept outside of the guest; the next guest must find each,
# make the members agree, and is written to and killed in its turn: during its resync, after it, or after a member
# has failed; with --reshape, during a reshape. With several drivers they take turns, so that each recovers what
# another left.
#
# CASE is that of tests/lib/relay.sh. Default: 3 cuts, the stock kernel, ours, a mirror and a stripe; with --reshape,
# raid10s, a third of which at least must be cut when superblocks say that some is moved and some is not.

set -euo pipefail

top=$(cd "$(dirname "$0")/../.." && pwd -P)
cuts=3 kernel=stock drivers=(rust) ends=(settle rush degrade)
cases=() standard=(raid1:1.2:none:2 raid0:1.2:none:2)
while (($# > 0)); do
    case $1 in
    --cuts) cuts=$2; shift 2 ;;
    --kernel) kernel=$2; shift 2 ;;
    --drivers) IFS=, read -r -a drivers <<<"$2"; shift 2 ;;
    --reshape)
        ends=(reshape)
        standard=(raid10/n2:1.2:{none,internal}:4:layout raid10/n2:1.2:none:4:chunk raid10/n2:1.2:internal:5:slots)
        shift
        ;;
    *) cases+=("$1"); shift ;;
    esac
done
((${#cases[@]} > 0)) || cases=("${standard[@]}")
disks=$(printf '%s\n' "${cases[@]}" | cut -d : -f 4 | sort -n | tail -n 1)
[[ ${RMD_NO_BUILD:-0} == 1 ]] || "$top/scripts/build-module" "$kernel" --quiet >&2
mkdir -p "$top/build"
# Below the checkout, as guests see that.
work=$(mktemp -d "$top/build/relay.XXXXXX")
trap 'rm -rf "$work"' EXIT
# shellcheck source=tests/lib/relay-host.sh
. "$top/tests/lib/relay-host.sh"

for ((cut = 0; cut < cuts; cut++)); do
    end=${ends[cut % ${#ends[@]}]} driver=${drivers[cut % ${#drivers[@]}]}
    stage "$driver" "$end" "$disks" "${cases[@]}"
    echo "cut $((cut + 1)) ($driver, $end): $(wc -l <"$acks") blocks acknowledged so far"
done
stage "${drivers[cuts % ${#drivers[@]}]}" stop "$disks" "${cases[@]}"
grep -h 'acknowledged blocks' "$work/stage$boots.log"
[[ ${ends[*]} != reshape ]] || travels
echo "rmd-detail: $cuts cuts"
