# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# Ground of all scripts here: messages, progress, checks of the machine, and the cache.
#
# The cache (${XDG_CACHE_HOME:-~/.cache}/rmd) holds one directory per entry, named NAME-KEY where KEY is a hash of
# everything that went into it. An entry counts only when its file `.complete` exists, and that file is written
# last, so an entry is never half valid. Every builder holds the lock of its entry: two runs at once wait for each
# other and share the result.

set -euo pipefail

# shellcheck disable=SC2034 # for those who source this
TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/rmd
JOBS=${JOBS:-$(nproc)}

say() { printf 'rmd: %s\n' "$*" >&2; }

die() {
    printf 'rmd: error: %s\n' "$*" >&2
    exit 1
}

# need_root WHAT: setting up roots and running guests takes mounts and chroot.
need_root() {
    [[ $EUID -eq 0 ]] || die "$1 needs root (it mounts and uses chroot); run it again as root."
}

# need_space GIB WHAT: fails early when the file system of the cache cannot hold what comes next.
need_space() {
    local need_gib=$1 what=$2 free_kib
    mkdir -p "$CACHE"
    free_kib=$(df --output=avail -k "$CACHE" | tail -n 1)
    ((free_kib >= need_gib * 1024 * 1024)) ||
        die "$what needs $need_gib GiB in $CACHE, but only $((free_kib / 1024 / 1024)) GiB are free;" \
            "make room or point XDG_CACHE_HOME at a larger disk."
}

# key_of TEXT-PRODUCING-COMMAND...: a short hash of a command's output, used to name cache entries.
key_of() {
    "$@" | sha256sum | cut -c 1-12
}

entry_ready() { [[ -e $CACHE/$1/.complete ]]; }

# build_entry NAME BUILDER [ARGS...]: makes sure a cache entry exists. BUILDER runs under the entry's lock with the
# entry's directory as its first argument; that directory may hold what an interrupted run left behind.
build_entry() {
    local name=$1 builder=$2 lock
    shift 2
    entry_ready "$name" && return 0
    mkdir -p "$CACHE"
    exec {lock}>"$CACHE/$name.lock"
    if ! flock --nonblock "$lock"; then
        say "another run is preparing $name; waiting for it"
        flock "$lock"
    fi
    if ! entry_ready "$name"; then
        mkdir -p "$CACHE/$name"
        "$builder" "$CACHE/$name" "$@"
        touch "$CACHE/$name/.complete"
    fi
    exec {lock}>&-
}

# tick TITLE LOG: shows that a step is alive until killed: on a terminal a line with the time and the number of log
# lines so far, in a log file one line a minute.
tick() {
    local title=$1 log=$2 start=$SECONDS waited lines
    while kill -0 $$ 2>/dev/null; do
        if [[ -t 2 ]]; then sleep 1; else sleep 60; fi
        waited=$((SECONDS - start))
        lines=$(wc -l <"$log" 2>/dev/null || echo 0)
        if [[ -t 2 ]]; then
            printf '\r\033[Krmd: %s ... %d:%02d, %d steps' "$title" $((waited / 60)) $((waited % 60)) "$lines" >&2
        else
            printf 'rmd: %s ... %d:%02d, %d steps\n' "$title" $((waited / 60)) $((waited % 60)) "$lines" >&2
        fi
    done
}

# hint STATUS: what to do about a step that failed, after a colon; nothing if that is not known.
hint() {
    local hint=${STEP_HINT:-}
    if (($(df --output=avail -k "$CACHE" | tail -n 1) < 64 * 1024)); then
        hint="the disk of $CACHE is full: make room, or point XDG_CACHE_HOME at a larger disk, and run this again"
    elif [[ -n $hint && $(type -t "$hint") == function ]]; then
        hint=$("$hint" "$1")
    fi
    printf '%s' "${hint:+: $hint}"
}

# step TITLE LOG COMMAND...: runs a long command with its output in LOG and progress on stderr; on failure shows the
# end of LOG, says what STEP_HINT holds, or what the function of that name prints when it is given the status, and
# exits. (Never call it in a condition: that would switch `set -e` off.)
step() {
    local title=$1 log=$2 start=$SECONDS ticker status
    shift 2
    say "$title"
    tick "$title" "$log" &
    ticker=$!
    set +e
    (
        set -e
        "$@"
    ) >"$log" 2>&1 </dev/null
    status=$?
    set -e
    kill "$ticker" 2>/dev/null || true
    wait "$ticker" 2>/dev/null || true
    [[ -t 2 ]] && printf '\r\033[K' >&2
    if ((status != 0)); then
        tail -n 20 "$log" >&2
        die "$title: failed with status $status$(hint "$status"); the whole log is $log"
    fi
    say "$title: done in $((SECONDS - start)) s"
}
