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

# The archive has no such version, or does not answer: the same failure, and not the same thing to do. The set-up in a
# copy asks for a version that never was; its guest root is the real one.
cp -r "$top"/scripts "$top"/.config.fragment "$work/old"
sed -i 's/^KERNEL_SERIES=.*/KERNEL_SERIES=1.0/' "$work/old/scripts/lib/kernel.sh"
mkdir -p "$work/cache/rmd" "$work/other/rmd"
guest=$("$top/scripts/prepare" guest)
ln -s "$(dirname "$guest")" "$work/cache/rmd/"
ln -s "$(dirname "$guest")" "$work/other/rmd/"
cp -r "$work/old" "$work/answers"
echo 'site_with_suite() { echo "here"; }' >>"$work/answers/scripts/lib/root.sh"
# One after the other: apt locks its lists.
{
    refuses no-version 'no longer has 1.0' env PATH="$work/bin:$PATH" XDG_CACHE_HOME="$work/cache" unshare --net \
        "$work/answers/scripts/prepare" stock
    refuses no-archive 'apt sources answers: check the network' env PATH="$work/bin:$PATH" \
        XDG_CACHE_HOME="$work/other" unshare --net "$work/old/scripts/prepare" stock
} &

usage no-script 'there is no script' "$work/nothing.sh"
usage no-file 'is no script' "$work"
usage no-value '--smp needs a value' --smp
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

# A kernel tree of one's own: what it must be, and that clang builds for what clang has built.
mkdir -p "$work/tree/include/config"
kdir() { "$top/scripts/build-module" --kdir "$@"; }
refuses kdir-none 'there is no directory' kdir "$work/nowhere"
refuses kdir-unprepared 'not a prepared kernel tree' kdir "$work"
echo CONFIG_MODULES=y >"$work/tree/include/config/auto.conf"
refuses kdir-no-rust 'has no CONFIG_RUST=y' kdir "$work/tree"
# shellcheck disable=SC2016 # for make
printf 'all:\n\t@echo "LLVM=$(LLVM) M=$(M) V=$(V)"\n' >"$work/tree/Makefile"
echo CONFIG_RUST=y >>"$work/tree/include/config/auto.conf"
[[ $(KDIR=$work/tree make --no-print-directory -C "$top") == "LLVM= M=$top V=" ]] ||
    { echo 'KDIR= is not built for'; wrong; }
echo CONFIG_CC_IS_CLANG=y >>"$work/tree/include/config/auto.conf"
[[ $(kdir "$work/tree" V=1) == "LLVM=1 M=$top V=1" ]] || { echo 'a tree of clang is not built for with clang'; wrong; }

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
# The builder's shell alone is killed: what it had started holds the entry until it ends, then the next one goes on.
export XDG_CACHE_HOME=$work/orphans
bash "$work/build" "$top" 4 >/dev/null 2>&1 &
orphan=$!
for _ in {1..100}; do
    ! pgrep -P "$orphan" -x sleep >/dev/null || break
    sleep 0.1
done
{
    kill -KILL "$orphan"
    wait "$orphan" || true
} 2>/dev/null
bash "$work/build" "$top" 0 >"$work/three" 2>&1 || true
grep -q 'waiting for it' "$work/three" || { echo 'a builder did not wait for what another had started'; wrong; }
grep -q 'goes on' "$work/three" || { echo 'a builder did not go on after another was killed'; wrong; }
grep -qx whole "$work/three" || { echo "three has no entry: $(cat "$work/three")"; wrong; }
export XDG_CACHE_HOME=$work/entries
# There: no builder runs.
[[ $(bash "$work/build" "$top" 30) == whole ]] || { echo 'a complete entry was not taken'; wrong; }

# What was fetched and only half removed when the power went is fetched again.
cat >"$work/linux" <<'END'
. "$1/scripts/lib/common.sh"
. "$1/scripts/lib/root.sh"
. "$1/scripts/lib/kernel.sh"
need_space() { :; }
fetch_linux() {
    echo fetched >>"$1/count"
    mkdir -p "$1/debs"
    echo 7.2 | tee "$1/debs/version" "$1/debs/release" "$1/debs/a.deb" >"$1/debs/b.deb"
}
unpack_linux() {
    cat "$1"/debs/{a,b}.deb >"$1/source"
    [[ $(wc -l <"$1/count") != 1 ]] || { rm "$1/debs/$VICTIM"; kill -KILL $$; exit 1; }
    rm -r "$1/debs"
}
build_entry linux build_linux
END
for victim in version b.deb; do
    export XDG_CACHE_HOME=$work/half-$victim
    { VICTIM=$victim bash "$work/linux" "$top" || true; } >"$work/killed" 2>&1
    if ! VICTIM=$victim bash "$work/linux" "$top" >"$work/again" 2>&1; then
        echo "without $victim the set-up does not go on: $(cat "$work/again")"
        wrong
    fi
    (
        cd "$XDG_CACHE_HOME/rmd/linux"
        [[ $(cat count source) == $'fetched\nfetched\n7.2\n7.2' ]]
    ) ||
        { echo "without $victim it is not fetched again"; wrong; }
done

# A step that fails says what to do, by its cause, and a full disk is one.
cat >"$work/step" <<'END'
. "$1/scripts/lib/common.sh"
mkdir -p "$CACHE"
why() { echo "status $1 has a reason"; }
fails() { return 5; }
STEP_HINT=why
step 'a step' "$CACHE/log" fails
END
export XDG_CACHE_HOME=$work/steps
refuses step-hint 'status 5: status 5 has a reason;' bash "$work/step" "$top"
mkdir "$work/full"
printf '#!/bin/sh\necho Avail\necho 1000\n' >"$work/full/df"
chmod 755 "$work/full/df"
refuses step-full 'is full: make room' env PATH="$work/full:$PATH" bash "$work/step" "$top"

wait
[[ ! -e $work/wrong ]]
