#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Shows the module at work: builds it for Debian's own kernel, boots that kernel and runs this same file in the guest,
# printing each command before its output.

set -euo pipefail

# say TEXT: what comes next, for a newcomer.
say() {
    printf '\n\033[1m%s\033[0m\n' "$*"
}

# shown COMMAND...: prints a command and runs it.
shown() {
    printf '# %s\n' "$*"
    "$@"
}

# checksum: of what fio wrote and verified.
checksum() {
    sha256sum </mnt/work.0.0 | cut -d ' ' -f 1
}

create() {
    say "Debian's own kernel, with md-mod.ko in place of its C driver"
    shown uname -r
    shown modinfo -F description "$RMD_MODULE"
    shown cat /proc/mdstat

    say "Two disks (here RAM disks) become a mirror, made by stock mdadm"
    modprobe brd rd_nr=2 rd_size=65536
    shown mdadm --version
    shown mdadm --create /dev/md0 --run --level=1 --bitmap=none --raid-devices=2 /dev/ram0 /dev/ram1
    shown cat /proc/mdstat
    shown mdadm --wait /dev/md0
    shown cat /proc/mdstat
    shown mdadm --detail /dev/md0
}

rebuild() {
    local load
    say "A file system on it, and a program that writes to it and will verify all it wrote"
    shown mkfs.ext4 -q /dev/md0
    shown mount /dev/md0 /mnt
    echo '# fio ... --directory=/mnt --rw=randwrite --bs=4k --verify=crc32c --time_based --runtime=12 &'
    fio --name=work --directory=/mnt --size=32M --rw=randwrite --bs=4k --direct=1 --ioengine=libaio --iodepth=8 \
        --verify=crc32c --verify_fatal=1 --verify_state_save=0 --time_based --runtime=12 --output=/tmp/fio &
    load=$!
    sleep 2

    say "While it writes, one of the disks fails: the mirror goes on with the other"
    shown mdadm /dev/md0 --fail /dev/ram1
    shown cat /proc/mdstat
    shown mdadm --detail /dev/md0

    say "It is taken out and put in again, as a new disk would be: the mirror is rebuilt, still under load"
    shown mdadm /dev/md0 --remove /dev/ram1
    # Slowly, for there to be something to see.
    echo 20000 >/proc/sys/dev/raid/speed_limit_max
    shown mdadm /dev/md0 --add /dev/ram1
    sleep 1
    shown cat /proc/mdstat
    echo 200000 >/proc/sys/dev/raid/speed_limit_max
    shown mdadm --wait /dev/md0
    shown cat /proc/mdstat
    shown mdadm --detail /dev/md0

    say "The program ends: all that it wrote reads back as it was written"
    wait $load || { cat /tmp/fio; return 1; }
    grep -E '^ +(read|write):|err=' /tmp/fio
}

assemble() {
    local before after array
    before=$(checksum)
    echo "checksum of the file: $before"
    shown umount /mnt

    say "The array is stopped, and assembled again from what is on the disks"
    shown mdadm --stop /dev/md0
    shown cat /proc/mdstat
    shown mdadm --examine /dev/ram1
    shown mdadm --assemble --scan
    shown cat /proc/mdstat
    array=$(awk '/ : active.* raid1 / { print "/dev/" $1 }' /proc/mdstat)
    shown mdadm --detail "$array"
    shown mount "$array" /mnt
    after=$(checksum)
    echo "checksum of the file: $after"
    [[ $before == "$after" ]] || { echo "the data changed"; return 1; }
    shown umount /mnt

    say "Both disks have the same data: a check counts no sector that differs"
    echo "# echo check > /sys/block/${array#/dev/}/md/sync_action; mdadm --wait $array"
    echo check >"/sys/block/${array#/dev/}/md/sync_action"
    mdadm --wait "$array" || true
    shown cat "/sys/block/${array#/dev/}/md/mismatch_cnt"
    [[ $(cat "/sys/block/${array#/dev/}/md/mismatch_cnt") == 0 ]] || { echo "the disks differ"; return 1; }
    shown mdadm --stop "$array"
}

in_guest() {
    create
    rebuild
    assemble
    say "And without a trace"
    shown rmmod md_mod
    echo
    echo "demo: the mirror was created, used, lost a disk, was rebuilt, stopped and assembled;" \
        "its data is what was written"
}

if [[ -n ${RMD_MODULE:-} ]]; then
    in_guest
else
    exec "$(dirname "$0")/../scripts/vm" --kernel stock --driver rust --timeout 900 -- "$0"
fi
