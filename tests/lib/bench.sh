#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# In a guest under the instruction-counting clock: measures cells and prints each as a line
#
#   @@cell LEVEL BITMAP CLEAN WORKLOAD VALUE UNIT
#
#   bench.sh cells SECONDS ROW...    so long each; a ROW is LEVEL:BITMAP[:clean|:new]; level raw is a member alone
#   bench.sh profile ROW WORKLOAD    where the instructions of one cell go
#
# In a guest with several CPUs, a clock that goes as the one on the wall, and no driver loaded: measures both drivers in
# turns, and prints each figure as a line `@@round N DRIVER LEVEL BITMAP CLEAN WORKLOAD VALUE UNIT`.
#
#   bench.sh wall SECONDS ROUNDS ROW...
#
# BITMAP: none, internal, lockless. `clean` arrays are made with --assume-clean, and written to before the first cell,
# so that their chunks are marked; `new` ones are resynced first, except where the bitmap makes that unnecessary, and
# have a cell of writes each of which is the first in its chunk.
# A row that the driver cannot make is left out.
#
# The clock of the guest runs ahead while its CPU waits for a file of this machine, and what udev does about a disk that
# was written to takes the CPU away from a cell. So programs are run once before the first cell, and udev does nothing
# during one.

set -u
MEMBERS=4
MEMBER_KIB=131072
RUNTIME=1 # seconds a cell
JOBS=1    # processes that fio runs
MD=/sys/block/md0/md

# fio_args WORKLOAD SECONDS: one cell. Of a write that is first in its chunk there are as many as there are chunks.
fio_args() {
    local timed="--time_based --runtime=$2"
    case $1 in
    read | write) echo "--rw=$1 --bs=1M --iodepth=4 $timed" ;;
    first) echo "--rw=write:60k --bs=4k --iodepth=16" ;;
    *) echo "--rw=$1 --bs=4k --iodepth=16 $timed" ;;
    esac
}

# run WORKLOAD DEVICE SECONDS: its operations a second.
run() {
    # shellcheck disable=SC2046 # several words
    fio --name=cell --filename="$2" --direct=1 --ioengine=libaio --norandommap --randrepeat=1 --gtod_reduce=1 \
        --numjobs=$JOBS --group_reporting --output-format=json $(fio_args "$1" "$3") |
        jq '.jobs[0] | (.read.total_ios + .write.total_ios) / (.read.runtime + .write.runtime) * 1000 | floor'
}

# cell LEVEL BITMAP CLEAN WORKLOAD DEVICE
cell() {
    local value
    udevadm settle
    udevadm control --stop-exec-queue
    value=$(run "$4" "$5" "$RUNTIME")
    udevadm control --start-exec-queue
    [[ -z $value ]] || echo "@@cell $1 $2 $3 $4 $value io/s"
}

members() {
    modprobe brd rd_nr=$MEMBERS rd_size=$MEMBER_KIB max_part=0
    local n op
    for ((n = 0; n < MEMBERS; n++)); do
        dd if=/dev/zero of=/dev/ram$n bs=1M count=$((MEMBER_KIB / 1024)) oflag=direct status=none
    done
    for op in randwrite randread write read first; do
        run $op /dev/ram0 100ms >/dev/null
    done
    create raid1 none clean
    destroy
}

# create LEVEL BITMAP CLEAN
create() {
    local count=2 args=()
    [[ $1 != raid10 ]] || count=4
    case $1 in
    linear | raid0) ;;
    *)
        args+=(--bitmap="${2/resync/none}")
        [[ $3 != clean ]] || args+=(--assume-clean)
        ;;
    esac
    # shellcheck disable=SC2046 # several words
    mdadm --quiet --create /dev/md0 --run --level="$1" --raid-devices=$count "${args[@]}" \
        $(printf '/dev/ram%d ' $(seq 0 $((count - 1)))) 2>/tmp/mdadm || return
    [[ ! -e $MD/sync_action ]] || idle
}

# idle: waits until no pass runs; without a process that would share the CPU with it.
idle() {
    local action
    exec 9<><(:)
    while read -r action <$MD/sync_action && [[ $action != idle ]]; do
        read -r -t 0.01 -u 9 || true
    done
    exec 9>&-
}

destroy() {
    udevadm settle
    mdadm --quiet --stop /dev/md0
    udevadm settle
}

# resync_cost LEVEL: what a whole resync takes of the CPU, the median of five. udev does nothing meanwhile.
resync_cost() {
    create "$1" none clean || return
    udevadm settle
    udevadm control --stop-exec-queue
    echo "@@cell $1 none clean resync $(python3 "$(dirname "$0")/resync_cost.py" $MD 5 | sort -n | sed -n 3p) ns/MiB"
    udevadm control --start-exec-queue
    destroy
}

# row LEVEL BITMAP CLEAN
row() {
    local op ops=(randwrite randread write read) device=/dev/ram0
    if [[ $1 != raw ]]; then
        device=/dev/md0
        create "$1" "$2" "$3" || {
            echo "no $*: $(cat /tmp/mdadm)"
            mdadm --quiet --stop /dev/md0 2>/dev/null
            return
        }
    fi
    case $3 in
    new) ops=(first "${ops[@]}") ;;
    *) run randwrite $device 300ms >/dev/null ;;
    esac
    for op in "${ops[@]}"; do
        cell "$1" "$2" "$3" "$op" $device
    done
    [[ $1 == raw ]] || destroy
}

# unlimited: a pass goes as fast as it can.
unlimited() {
    echo 100000000 >/proc/sys/dev/raid/speed_limit_max
    echo 100000000 >/proc/sys/dev/raid/speed_limit_min
}

cells() {
    local spec level bitmap clean
    members
    unlimited
    for spec in "$@"; do
        IFS=: read -r level bitmap clean <<<"$spec"
        if [[ $bitmap == resync ]]; then
            resync_cost "$level"
        else
            row "$level" "${bitmap:-none}" "${clean:-clean}"
        fi
    done
}

# driver NAME: this driver serves md from here on.
driver() {
    local module dependency
    for module in raid10 raid1 raid0 linear md_mod; do
        [[ ! -e /sys/module/$module ]] || rmmod $module || return
    done
    rm -f /etc/modprobe.d/rmd.conf
    if [[ $1 == c ]]; then
        modprobe md_mod || return
    else
        printf 'install %s /bin/true\n' md_mod linear raid0 raid1 raid10 raid456 >/etc/modprobe.d/rmd.conf
        for dependency in $(modinfo -F depends "$RMD_MODULE" | tr , ' '); do
            modprobe "$dependency" || return
        done
        insmod "$RMD_MODULE" || return
    fi
    unlimited
}

# resync: MiB of the array that a resync copies in a second.
resync() {
    local start end
    echo frozen >$MD/sync_action
    echo 0 >$MD/resync_start || return
    start=$(date +%s%N)
    echo idle >$MD/sync_action
    # The thread that starts it may take a moment.
    until [[ $(<$MD/sync_action) == resync || $(<$MD/resync_start) == none ]]; do :; done
    idle
    end=$(date +%s%N)
    echo $(($(<$MD/../size) * 1000000000 / 2048 / (end - start)))
}

# turn ROUND DRIVER LEVEL BITMAP CLEAN: one driver's figures of a row.
turn() {
    local op value unit=io/s ops=(randwrite randread)
    if ! { driver "$2" && create "$3" "$4" "$5"; }; then
        echo "no $*: $(cat /tmp/mdadm 2>/dev/null)"
        return
    fi
    if [[ $4 == resync ]]; then
        ops=(resync) unit=MiB/s
    elif [[ $5 == clean ]]; then
        run randwrite /dev/md0 300ms >/dev/null
    fi
    for op in "${ops[@]}"; do
        udevadm settle
        udevadm control --stop-exec-queue
        if [[ $op == resync ]]; then value=$(resync); else value=$(run "$op" /dev/md0 "$RUNTIME"); fi
        udevadm control --start-exec-queue
        [[ -z $value ]] || echo "@@round $1 $2 $3 $4 $5 $op $value $unit"
    done
    destroy
}

# wall ROUNDS ROW...: each round has a turn of either driver; who is first changes.
wall() {
    local round spec level bitmap clean name order
    local -r rounds=$1
    shift
    driver c && members || return
    for ((round = 1; round <= rounds; round++)); do
        order=(c rust)
        ((round % 2)) || order=(rust c)
        for spec in "$@"; do
            IFS=: read -r level bitmap clean <<<"$spec"
            for name in "${order[@]}"; do
                turn $round "$name" "$level" "${bitmap:-none}" "${clean:-clean}"
            done
        done
    done
}

profile() {
    local level bitmap clean
    IFS=: read -r level bitmap clean <<<"$1"
    members
    local device=/dev/ram0
    if [[ $level != raw ]]; then
        create "$level" "${bitmap:-none}" "${clean:-clean}" || { cat /tmp/mdadm; return 1; }
        device=/dev/md0
    fi
    cell "$level" "${bitmap:-none}" "${clean:-clean}" "$2" $device
    # shellcheck disable=SC2046 # several words
    perf record --quiet -o /tmp/perf -a -e cpu-clock -F 20000 -- fio --name=cell --filename=$device --direct=1 \
        --ioengine=libaio --norandommap --randrepeat=1 --gtod_reduce=1 $(fio_args "$2" 2) >/dev/null || return
    perf report --stdio -i /tmp/perf --sort symbol --percent-limit 0.2 2>/dev/null | grep -v '^#' | grep . |
        sed 's/[- ]*$//'
}

case $1 in
cells)
    RUNTIME=$2
    cells "${@:3}"
    ;;
wall)
    RUNTIME=$2 JOBS=4
    wall "${@:3}"
    ;;
profile) profile "$2" "$3" ;;
esac
