#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Shows the module at work: builds it for Debian's own kernel, boots that kernel and runs this same file in the guest,
# printing each command before its output.

set -euo pipefail

# shown COMMAND...: prints a command and runs it.
shown() {
    printf '\n# %s\n' "$*"
    "$@"
}

in_guest() {
    shown uname -r
    shown modinfo "$RMD_MODULE"
    shown lsmod
    shown cat /proc/mdstat
    shown mdadm --version
    shown sh -c 'echo md_demo >/sys/module/md_mod/parameters/new_array'
    shown ls /sys/block/md_demo/md
    shown cat /sys/block/md_demo/md/array_state
    shown sh -c 'mdadm --detail /dev/md_demo || true'
    shown sh -c 'echo clear >/sys/block/md_demo/md/array_state'
    shown sysctl dev.raid
    shown rmmod md_mod
    echo
    echo 'demo: the module loaded, served mdadm and left without a trace'
}

if [[ -n ${RMD_MODULE:-} ]]; then
    in_guest
else
    exec "$(dirname "$0")/../scripts/vm" --kernel stock --driver rust -- "$0"
fi
