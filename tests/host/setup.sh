#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The set-up: what it says when it cannot go on, and that an entry of the cache is never half valid, whoever builds it
# at the same time and whenever a builder is interrupted.

set -euo pipefail

top=$(cd "$(dirname "$0")/../.." && pwd -P)
work=$(mktemp -d)

wrong() { touch "$work/wrong"; }

clean_up() {
    ! mountpoint --quiet "$work/small" || umount "$work/small"
    rm -rf "$work"
}
trap clean_up EXIT

# refuses NAME TEXT COMMAND...: the command fails, and the one line it says as an error has TEXT.
refuses() {
    local name=$1 text=$2 status=0
    shift 2
    "$@" >"$work/$name" 2>&1 </dev/null || status=$?
    if ((status == 0)) || [[ $(grep -c '^rmd: error: ' "$work/$name") != 1 ]] ||
        ! grep -qF -- "$text" "$work/$name"; then
        echo "$name: status $status, and not one error with '$text':"
        tail -n 20 "$work/$name"
        wrong
    fi
}

# usage NAME TEXT ARGS...: scripts/vm refuses its arguments, with TEXT, before it does anything.
usage() {
    local name=$1 text=$2 status=0
    shift 2
    XDG_CACHE_HOME=$work/untouched "$top/scripts/vm" "$@" >"$work/$name" 2>&1 </dev/null || status=$?
    if ((status != 2)) || ! grep -qF -- "$text" "$work/$name" || [[ -e $work/untouched ]]; then
        echo "$name: status $status, and not only '$text':"
        cat "$work/$name"
        wrong
    fi
}

as_nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups)
mkdir "$work/small" "$work/none" "$work/old"
chmod 755 "$work"
# What a user who is not root can read and run: a checkout below /root may be none of it.
cp -r --parents "$top"/scripts "$top"/tests/run "$top"/tests/demo.sh "$work/none"
chmod -R a+rX "$work/none"
refuses no-root-vm 'needs root' env HOME="$work" "${as_nobody[@]}" bash "$work/none$top/scripts/vm"
refuses no-root-tests 'needs root' env HOME="$work" "${as_nobody[@]}" bash "$work/none$top/tests/run" host
refuses no-root-demo 'needs root' env HOME="$work" "${as_nobody[@]}" bash "$work/none$top/tests/demo.sh"

mount -t tmpfs -o size=64M small "$work/small"
refuses no-space 'needs 7 GiB' env XDG_CACHE_HOME="$work/small" "$top/scripts/prepare" guest

# Without a network: nothing at all yet, and then with the root there but no kernel. `df` is told of a large disk.
mkdir "$work/bin"
printf '#!/bin/sh\necho Avail\necho 99999999\n' >"$work/bin/df"
chmod 755 "$work/bin/df"
# apt tries again for half a minute: meanwhile the rest goes on.
refuses no-network 'check the network' env PATH="$work/bin:$PATH" XDG_CACHE_HOME="$work/none" unshare --net \
    "$top/scripts/prepare" guest &

# The archive has no such version. The set-up in a copy asks for one that never was; its guest root is the real one.
cp -r "$top"/scripts "$top"/.config.fragment "$work/old"
sed -i 's/^KERNEL_SERIES=.*/KERNEL_SERIES=1.0/' "$work/old/scripts/lib/kernel.sh"
mkdir -p "$work/cache/rmd"
guest=$("$top/scripts/prepare" guest)
ln -s "$(dirname "$guest")" "$work/cache/rmd/"
refuses no-version 'no longer has 1.0' env PATH="$work/bin:$PATH" XDG_CACHE_HOME="$work/cache" unshare --net \
    "$work/old/scripts/prepare" stock &

usage no-script 'there is no script' "$work/nothing.sh"
usage no-option 'there is no option' --fast
usage bad-kernel '--kernel takes' --kernel mine
usage bad-driver '--driver takes' --driver perl
usage bad-smp '--smp takes' --smp none
usage bad-mem '--mem takes' --mem much
usage bad-timeout '--timeout takes' --timeout soon
usage bad-disk '--disk takes' --disk "$work/disk"
usage bad-size '--disk takes' --disk "$work/disk:big"
usage no-disk-directory 'no directory' --disk "$work/nowhere/disk:1M"
usage not-a-disk 'neither a file' --disk "$work:1M"
usage no-dmesg-directory 'no directory' --keep-dmesg "$work/nowhere/dmesg"

# An entry of the cache with a builder that takes a moment and says what it found.
cat >"$work/build" <<'END'
. "$1/scripts/lib/common.sh"
builder() {
    [[ ! -e $1/half ]] || echo "goes on with what is there"
    touch "$1/half"
    echo built >>"$1/log"
    sleep "$2"
    echo whole >"$1/result"
}
build_entry thing builder "$2"
cat "$CACHE/thing/result"
END
export XDG_CACHE_HOME=$work/entries
# Interrupted: no entry, and the next one goes on.
status=0
{ timeout --signal=KILL 0.5 bash "$work/build" "$top" 30 >/dev/null || status=$?; } 2>/dev/null
((status == 137)) || { echo "the builder was not interrupted: $status"; wrong; }
[[ ! -e $work/entries/rmd/thing/.complete ]] || { echo 'an interrupted entry is complete'; wrong; }
[[ -e $work/entries/rmd/thing/half ]] || { echo 'what was done before the interruption is lost'; wrong; }
# Two at once: one builds, the other waits, both have it.
bash "$work/build" "$top" 2 >"$work/one" 2>&1 &
first=$!
sleep 0.5
bash "$work/build" "$top" 2 >"$work/two" 2>&1 || true
wait "$first"
grep -q 'goes on' "$work/one" || { echo 'the next builder did not go on'; wrong; }
grep -q 'waiting for it' "$work/two" || { echo 'the second builder did not wait'; wrong; }
for log in one two; do
    grep -qx whole "$work/$log" || { echo "$log has no entry: $(cat "$work/$log")"; wrong; }
done
[[ $(wc -l <"$work/entries/rmd/thing/log") == 2 ]] || { echo 'the entry was not built once each'; wrong; }
# There: no builder runs.
[[ $(bash "$work/build" "$top" 30) == whole ]] || { echo 'a complete entry was not taken'; wrong; }

wait
[[ ! -e $work/wrong ]]
