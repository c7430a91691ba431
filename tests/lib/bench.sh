#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# In a guest under the instruction-counting clock: measures cells and prints each as a line
#
#   @@cell LEVEL BITMAP CLEAN WORKLOAD VALUE UNIT
#
#   bench.sh cells SECONDS ROW...    so long each; a ROW is LEVEL:BITMAP[:clean|:new]; level raw is a member alone
#   bench.sh memory                  of an idle raid1 and of a write in flight in it
#   bench.sh profile ROW WORKLOAD    where the instructions of one cell go
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
        --output-format=json $(fio_args "$1" "$3") |
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
        args+=(--bitmap="$2")
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
    mdadm --quiet --stop /dev/md0
    udevadm settle
}

# resync LEVEL: throughput of a whole resync, the median of three. udev does nothing meanwhile.
resync() {
    local start end size values=()
    create "$1" none clean || return
    udevadm settle
    udevadm control --stop-exec-queue
    size=$(cat $MD/component_size)
    for _ in 1 2 3; do
        echo frozen >$MD/sync_action
        echo 0 >$MD/resync_start || return
        start=$(date +%s%N)
        echo idle >$MD/sync_action
        # The thread that starts it may take a moment.
        until [[ $(<$MD/sync_action) == resync || $(<$MD/resync_start) == none ]]; do :; done
        idle
        end=$(date +%s%N)
        values+=($((size * 1000000000 / 1024 / (end - start))))
    done
    udevadm control --start-exec-queue
    destroy
    echo "@@cell $1 none clean resync $(printf '%s\n' "${values[@]}" | sort -n | sed -n 2p) MiB/s"
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

cells() {
    local spec level bitmap clean
    members
    echo 100000000 >/proc/sys/dev/raid/speed_limit_max
    echo 100000000 >/proc/sys/dev/raid/speed_limit_min
    for spec in "$@"; do
        IFS=: read -r level bitmap clean <<<"$spec"
        if [[ $bitmap == resync ]]; then
            resync "$level"
        else
            row "$level" "${bitmap:-none}" "${clean:-clean}"
        fi
    done
}

# used: bytes of memory in use that user space has no part in, in KiB.
used() {
    sync
    echo 3 >/proc/sys/vm/drop_caches
    sleep 1
    awk '/^(Slab|KernelStack|PageTables|Percpu|VmallocUsed):/ { sum += $2 } END { print sum }' /proc/meminfo
}

# idle_memory BITMAP
idle_memory() {
    local n before after
    local -r arrays=8
    modprobe brd rd_nr=$((2 * arrays)) rd_size=8192 max_part=0
    for ((n = 0; n < arrays; n++)); do
        array "$n" create "$1"
        mdadm --quiet --stop /dev/md$n
    done
    before=$(used)
    for ((n = 0; n < arrays; n++)); do
        array "$n" assemble
    done
    udevadm settle
    after=$(used)
    echo "@@cell raid1 $1 clean idle-array $(((after - before) * 1024 / arrays)) bytes"
    for ((n = 0; n < arrays; n++)); do
        mdadm --quiet --stop /dev/md$n
    done
    rmmod brd
}

# array N create|assemble [BITMAP]
array() {
    local one=/dev/ram$((2 * $1)) two=/dev/ram$((2 * $1 + 1))
    case $2 in
    create)
        mdadm --quiet --create /dev/md"$1" --run --assume-clean --bitmap="$3" --level=1 --raid-devices=2 $one $two
        ;;
    assemble) mdadm --quiet --assemble /dev/md"$1" $one $two ;;
    esac
}

# in_flight DEVICE: bytes that 2048 writes take while the members do not answer.
in_flight() {
    local before after pid member
    local -r writes=2048
    before=$(used)
    for member in one two; do
        dmsetup suspend --nolockfs --noflush $member
    done
    fio --name=stuck --filename="$1" --rw=randwrite --bs=4k --iodepth=$writes --iodepth_batch_submit=$writes \
        --direct=1 --ioengine=libaio --number_ios=$writes --size=32M >/dev/null &
    pid=$!
    sleep 5
    after=$(used)
    for member in one two; do
        dmsetup resume $member
    done
    wait $pid
    echo $(((after - before) * 1024 / writes))
}

flight_memory() {
    local raw md member
    modprobe brd rd_nr=2 rd_size=65536 max_part=0
    modprobe dm_mod
    for member in 'one 0' 'two 1'; do
        dmsetup create "${member% *}" --table "0 131072 linear /dev/ram${member#* } 0"
    done
    udevadm settle
    # Twice, as the first time fills caches; and without md, to know what is not its.
    in_flight /dev/mapper/one >/dev/null
    raw=$(in_flight /dev/mapper/one)
    mdadm --quiet --create /dev/md0 --run --assume-clean --bitmap=none --level=1 --raid-devices=2 /dev/mapper/one \
        /dev/mapper/two || return
    in_flight /dev/md0 >/dev/null
    md=$(in_flight /dev/md0)
    echo "@@cell raid1 none clean write-in-flight $((md - raw)) bytes"
    destroy
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
memory)
    for bitmap in none internal lockless; do
        idle_memory $bitmap
    done
    flight_memory
    ;;
profile) profile "$2" "$3" ;;
esac
