#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# In a guest under the instruction-counting clock: what memory of the kernel an idle mirror of two members takes, and a
# write in flight in one. Prints `@@cell LEVEL BITMAP clean NAME VALUE bytes` for tests/lib/bench.py.
#
# What is counted is all memory that is neither free nor user space's, whatever it was allocated as. Slabs are counted
# whole, so many arrays are made, and not for the first time, when caches fill.

set -u
ARRAYS=32

# used: KiB in use that user space has no part in; what a CPU keeps for its next allocation is free, too. Waits for
# workers of udev and of the kernel to go, which costs nothing, as nobody runs meanwhile.
used() {
    sync
    echo 3 >/proc/sys/vm/drop_caches
    sleep 60
    awk '
        /^MemTotal:/ { sum += $2 }
        /^(MemFree|Buffers|Cached|AnonPages|PageTables):/ { sum -= $2 }
        $1 == "count:" { sum -= 4 * $2 }
        END { print sum }' /proc/meminfo /proc/zoneinfo
}

# array N create|assemble [LEVEL BITMAP]
array() {
    local one=/dev/ram$((2 * $1)) two=/dev/ram$((2 * $1 + 1))
    case $2 in
    create)
        mdadm --quiet --create /dev/md"$1" --run --assume-clean --bitmap="$4" --level="$3" --raid-devices=2 $one $two
        ;;
    assemble) mdadm --quiet --assemble /dev/md"$1" $one $two ;;
    esac
}

# all WORD...: the same of all arrays.
all() {
    local n
    for ((n = 0; n < ARRAYS; n++)); do
        case $1 in
        stop) mdadm --quiet --stop /dev/md$n ;;
        *) array "$n" "$@" ;;
        esac || return
    done
    udevadm settle
}

# idle_memory LEVEL BITMAP
idle_memory() {
    local before after
    modprobe brd rd_nr=$((2 * ARRAYS)) rd_size=8192 max_part=0
    all create "$1" "$2" && all stop && all assemble && all stop || return
    before=$(used)
    all assemble || return
    after=$(used)
    echo "@@cell $1 $2 clean idle-array $(((after - before) * 1024 / ARRAYS)) bytes"
    all stop
    rmmod brd
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
    mdadm --quiet --stop /dev/md0
}

for bitmap in none internal lockless; do
    idle_memory raid1 $bitmap
done
idle_memory raid10 none
flight_memory
