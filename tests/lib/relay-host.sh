# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# On this machine: stages of tests/lib/relay.sh, one guest each, on the same disks. Needs $top, $work and $kernel.
# shellcheck disable=SC2154 # from who sources this

acks=$work/acks
sequence=1
boots=0

# is_cut END: whether the power is cut in a stage with this end.
is_cut() { [[ $1 != stop && $1 != pause ]]; }

# stage DRIVER END DISKS CASE...: one guest; its acknowledgements are added to $acks. With most ENDs QEMU is killed at a
# random moment of the load. Fails when the guest does.
stage() {
    local driver=$1 end=$2 disks=$3 args=() n log status=0
    shift 3
    boots=$((boots + 1))
    log=$work/stage$boots.log
    for ((n = 0; n < disks; n++)); do
        args+=(--disk "$work/disk$n:${disk_size:-320M}")
    done
    rm -f "$work/qemu.pid"
    : >"$log"
    RMD_NO_BUILD=1 RMD_PIDFILE=$work/qemu.pid "$top/scripts/vm" --kernel "$kernel" --driver "$driver" \
        --smp "${RMD_SMP:-2}" --timeout 1200 --keep-dmesg "$work/stage$boots.dmesg" "${args[@]}" -- \
        "$top/tests/lib/relay.sh" "$acks" "$sequence" "$end" "$@" >"$log" 2>&1 </dev/null &
    ! is_cut "$end" || kill_under_load $! "$log" "$end"
    wait $! || status=$?
    sequence=$((sequence + 10000000))
    awk '$1 == "@@ack" && NF == 4 { print $2, $3, $4 }' "$log" >>"$acks"
    # The last line may be cut off; before each stage only what counts is kept.
    sort -k 1,1n -k 2,2n -k 3,3nr "$acks" | awk '!seen[$1, $2]++' >"$acks.new"
    mv "$acks.new" "$acks"
    if ! is_cut "$end" && ((status == 0)) && grep -q '^@@stopped' "$log"; then
        return 0
    fi
    if is_cut "$end" && ((status == 99)) && grep -q '^@@writing' "$log"; then
        return 0
    fi
    echo "stage $boots ($driver, $end): status $status; the end of its log:"
    grep -v '^@@ack' "$log" | tail -n 30
    return 1
}

# kill_under_load PID LOG END: waits for some acknowledgements, then for a random time, and kills QEMU; gives up when
# PID ends.
kill_under_load() {
    local delay=3000
    [[ $3 != reshape ]] || delay=15000
    delay=$((RANDOM % delay))
    until (($(grep -c '^@@ack' "$2") >= 50)) && { [[ $3 != degrade ]] || grep -q '^@@degraded' "$2"; }; do
        kill -0 "$1" 2>/dev/null || return 0
        sleep 0.1
    done
    sleep "$((delay / 1000)).$(printf %03d $((delay % 1000)))"
    kill -9 "$(cat "$work/qemu.pid")" || true
}

# travels: how many arrays were found in the middle of a reshape; fails when that is less than a third.
travels() {
    grep -h '^@@position' "$work"/stage*.log | awk -v common=32768 '
        { for (n = 3; n <= NF; n++) if ($n > 0 && $n < common) { among++; break } all++ }
        END {
            print among + 0 " of " all + 0 " arrays were in the middle of a reshape"
            exit all == 0 || 3 * among < all
        }'
}
