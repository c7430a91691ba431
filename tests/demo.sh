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

# quiet COMMAND...: prints a command and runs it; its output would only be figures.
quiet() {
    printf '# %s\n' "$*"
    "$@" >/dev/null
}

in_guest() {
    local before after
    say "Debian's own kernel, with md-mod.ko in place of its C driver"
    shown uname -r
    shown modinfo -F description "$RMD_MODULE"
    shown cat /proc/mdstat

    say "Three RAM disks become a raid0, made by stock mdadm"
    modprobe brd rd_nr=3 rd_size=65536
    shown mdadm --version
    shown mdadm --create /dev/md0 --run --level=0 --raid-devices=3 /dev/ram0 /dev/ram1 /dev/ram2
    shown cat /proc/mdstat
    shown mdadm --detail /dev/md0

    say "A file system on it, in use"
    shown mkfs.ext4 -q /dev/md0
    shown mount /dev/md0 /mnt
    quiet fio --name=verify --directory=/mnt --size=64M --rw=randwrite --bs=4k --direct=1 --ioengine=libaio \
        --iodepth=16 --verify=crc32c --verify_state_save=0
    before=$(sha256sum </mnt/verify.0.0)
    echo "checksum of what fio wrote and verified: ${before%% *}"
    shown umount /mnt

    say "Stopped, and assembled again from what the superblocks say"
    shown mdadm --stop /dev/md0
    shown mdadm --examine /dev/ram1
    shown mdadm --assemble --scan
    shown cat /proc/mdstat
    array=$(awk '/ : active raid0/ { print "/dev/" $1 }' /proc/mdstat)
    shown mount "$array" /mnt
    after=$(sha256sum </mnt/verify.0.0)
    [[ $before == "$after" ]] || { echo "the data changed: ${after%% *}"; exit 1; }
    echo "checksum after the assembly:             ${after%% *}"
    shown umount /mnt
    shown mdadm --stop "$array"

    say "And without a trace"
    shown rmmod md_mod
    echo
    echo "demo: the array was created, used, stopped and assembled; its data is what was written"
}

if [[ -n ${RMD_MODULE:-} ]]; then
    in_guest
else
    exec "$(dirname "$0")/../scripts/vm" --kernel stock --driver rust -- "$0"
fi
