#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Records what the C driver makes of some 450 geometries: how long the array gets, and how much of each member it uses.
# Runs in a guest; every row of the table comes out behind the word "row":
#
#   scripts/vm --kernel test --driver c --timeout 1200 --allow-splat -- scripts/golden/geometry.sh |
#       sed -n 's/^row\t//p' >tests/golden/geometry.tsv
#
# The splats are raid10's own warnings about some of the layouts. The kernel needs linear, as the test kernel has it.
#
# Most arrays are made through sysfs with external metadata, because there the driver alone does all the rounding and no
# layout is out of reach; the others by mdadm, with the superblocks and the sizes that it chooses.

set -u

WORK=/dev/shm/geometry
number=0

die() {
    echo "geometry: $*" >&2
    exit 1
}

row() {
    local IFS=$'\t'
    echo "row	$*"
}

# attach FILE BYTES: a loop device of that length.
attach() {
    losetup --find --show --sizelimit "$2" "$WORK/$1"
}

# settle COMMAND...: again while something still has the array open.
settle() {
    local _
    for _ in {1..50}; do
        "$@" 2>/dev/null && return
        sleep 0.1
    done
    die "$* does not succeed"
}

write() {
    echo "$2" >"$1"
}

# fill MD LEVEL LAYOUT CHUNK COMPONENT SIZE...: sets up everything but does not run the array yet. Bytes and KiB.
fill() {
    local md=$1 level=$2 layout=$3 chunk=$4 component=$5 slot=0 name size
    shift 5
    echo external:geometry >"$md/metadata_version" || return
    echo "$level" >"$md/level" || return
    echo "$#" >"$md/raid_disks" || return
    echo "$layout" >"$md/layout" || return
    echo "$chunk" >"$md/chunk_size" || return
    [[ $component == - ]] || echo "$component" >"$md/component_size" || return
    for size; do
        name=${loops[slot]##*/}
        cat "/sys/block/$name/dev" >"$md/new_dev" || return
        echo $((slot * 2048)) >"$md/dev-$name/offset" || return
        echo "$size" >"$md/dev-$name/size" || return
        echo $slot >"$md/dev-$name/slot" || return
        slot=$((slot + 1))
    done
    echo none >"$md/resync_start"
}

# by_driver LEVEL LAYOUT CHUNK COMPONENT SIZE...: chunk in bytes, the others in KiB, component "-" for none.
by_driver() {
    local level=$1 layout=$2 chunk=$3 component=$4 name md members='' slot=0 size wanted
    number=$((number + 1))
    name=md_geometry$number
    md=/sys/block/$name/md
    echo "$name" >/sys/module/md_mod/parameters/new_array || die "no $name"
    fill "$md" "$@" || die "cannot set up $*"
    shift 4
    for size; do
        members+=,$((size * 2)):$((slot * 2048))
        slot=$((slot + 1))
    done
    [[ $component == - ]] && wanted=- || wanted=$((component * 2))
    if echo readonly 2>/dev/null >"$md/array_state"; then
        row external "$level" "$layout" $((chunk / 512)) "$wanted" "${members#,}" "$(cat "/sys/block/$name/size")" \
            $(($(cat "$md/component_size") * 2))
    else
        row external "$level" "$layout" $((chunk / 512)) "$wanted" "${members#,}" refused -
    fi
    settle write "$md/array_state" clear
}

# by_mdadm METADATA LEVEL OPTIONS SIZE...: sizes in KiB; what the superblocks say is read back from the driver.
by_mdadm() {
    local metadata=$1 level=$2 options=$3 device=/dev/md99 md=/sys/block/md99/md used='' slot=0 size loop name
    shift 3
    for size; do
        loop=$(attach "member$slot" $((size * 1024))) || die "no loop device"
        # Leftovers of an earlier array would make mdadm ask or choose other offsets.
        dd if=/dev/zero of="$loop" bs=64K count=4 status=none
        used+=" $loop"
        slot=$((slot + 1))
    done
    # shellcheck disable=SC2086 # options and devices are lists
    if ! mdadm --create $device --run --quiet --assume-clean --homehost=none --metadata="$metadata" --level="$level" \
        --raid-devices=$# $options $used </dev/null >&2; then
        die "mdadm refuses $metadata $level $options $*"
    fi
    settle test -e "$md/array_state"
    row "$metadata" "$level" "$(word "$md/layout")" $(($(cat "$md/chunk_size") / 512)) "$(component "$md" "$level")" \
        "$(members "$md" $#)" "$(cat /sys/block/md99/size)" "$(component "$md" "$level")"
    settle mdadm --stop --quiet $device
    for loop in $used; do
        dd if=/dev/zero of="$loop" bs=64K count=4 status=none
        # 0.90 and 1.0 superblocks are at the end.
        name=${loop##*/}
        size=$(($(cat "/sys/block/$name/size") / 128))
        dd if=/dev/zero of="$loop" bs=64K seek=$((size - 2)) count=3 status=none 2>/dev/null
        losetup --detach "$loop"
    done
}

# During no reshape the layout attribute has the word and nothing else.
word() {
    cut -d ' ' -f 1 "$1"
}

component() {
    case $2 in
    linear | raid0) echo - ;;
    *) echo $(($(cat "$1/component_size") * 2)) ;;
    esac
}

# Lengths and offsets of the members, in slot order.
members() {
    local slot list=''
    for ((slot = 0; slot < $2; slot++)); do
        list+=,$(($(cat "$1/rd$slot/size") * 2)):$(cat "$1/rd$slot/offset")
    done
    echo "${list#,}"
}

repeat() {
    local count=$1
    while ((count-- > 0)); do
        echo -n " $2"
    done
}

unequal_members() {
    local chunk layout=1 sizes
    local sets=('10240' '10240 10240' '10243 20481 5000' '8192 16384 32768 32768' '8192 8192 16000 16000 16001'
        '100001 77777 99999 12345 100001' '400 7 9000' '2000000 1000000000 70000000000 70000000001')
    for sizes in "${sets[@]}"; do
        for chunk in 4096 12288 20480 65536 98304 524288; do
            # The size does not depend on the layout, so the two take turns.
            layout=$((3 - layout))
            # shellcheck disable=SC2086 # sizes is a list
            by_driver raid0 $layout $chunk - $sizes
        done
        [[ $linear == yes ]] || continue
        for chunk in 0 4096 65536 98304; do
            # shellcheck disable=SC2086
            by_driver linear 0 $chunk - $sizes
        done
    done
}

mirrors() {
    local disks layout chunk component
    for disks in 1 2 3 6; do
        for component in 8192 10001 123457 70000000001; do
            # shellcheck disable=SC2046 # a list
            by_driver raid1 0 0 $component $(repeat $disks $component)
        done
    done
    # n2 n3 f2 f3 o2 o3 n2f2 n2o2; then f2 o2 with far sets of either kind, n2f2 with those of the copies
    for layout in 0x102 0x103 0x201 0x301 0x10201 0x10301 0x202 0x10202 0x20201 0x30201 0x40201 0x50201 0x40202; do
        component=99999
        for disks in 2 3 4 5 6 7; do
            for chunk in 4096 524288; do
                # shellcheck disable=SC2046
                by_driver raid10 $((layout)) $chunk $component $(repeat $disks $component)
                component=$((component * 7 / 5 + 1))
            done
        done
    done
}

parities() {
    local level layout disks chunk component
    for level in 'raid4 0' 'raid4 5' 'raid5 0' 'raid5 1' 'raid5 2' 'raid5 3' 'raid5 4' 'raid5 5' 'raid5 6' 'raid6 0' \
        'raid6 1' 'raid6 2' 'raid6 3' 'raid6 4' 'raid6 5' 'raid6 6' 'raid6 7' 'raid6 8' 'raid6 9' 'raid6 10' \
        'raid6 11' 'raid6 15' 'raid6 16' 'raid6 17' 'raid6 18' 'raid6 19' 'raid6 20' 'raid6 21'; do
        component=50001
        for disks in 3 4 7; do
            for chunk in 4096 65536; do
                # shellcheck disable=SC2046,SC2086 # lists
                by_driver $level $chunk $component $(repeat $disks $component)
                component=$((component * 9 / 5 + 1))
            done
        done
    done
}

by_superblock() {
    local metadata
    for metadata in 0.90 1.0 1.1 1.2; do
        by_mdadm $metadata raid1 --bitmap=none 20480 20481
        by_mdadm $metadata raid0 --chunk=64 20480 20480 20480
        by_mdadm $metadata raid10 '--layout=n2 --chunk=64 --bitmap=none' 20480 20480 20480
        by_mdadm $metadata raid10 '--layout=f2 --chunk=32 --bitmap=none' 20489 20480 20480
        by_mdadm $metadata raid10 '--layout=o2 --chunk=128 --bitmap=none' 20480 20480 20499 20480
        by_mdadm $metadata raid4 '--chunk=16 --bitmap=none' 20480 20480 20499
        by_mdadm $metadata raid5 '--chunk=64 --bitmap=none --layout=left-asymmetric' 20480 30000 20499
        by_mdadm $metadata raid6 '--chunk=256 --bitmap=none' 20480 30000 20499 40000 20480
        [[ $linear == yes ]] && by_mdadm $metadata linear --rounding=64 20480 30001 9999
    done
    # mdadm writes the layout of raid0 with zones to 1.x superblocks only.
    by_mdadm 1.2 raid0 --chunk=64 20480 30000 40000 40000
    by_mdadm 1.0 raid0 --chunk=20 20480 30000 40000 40000
    by_mdadm 1.2 raid5 '--chunk=64 --bitmap=none --data-offset=3M --size=10000' 20480 30000 20499
    by_mdadm 1.2 raid1 '--bitmap=none --size=7777' 20480 30000
}

# udev would read each array while it is stopped again, which the C driver's raid10 does not always survive.
udevadm control --stop-exec-queue
modprobe --quiet loop
mkdir -p $WORK || die "no $WORK"
loops=()
for slot in 0 1 2 3 4 5 6; do
    truncate --size=80T "$WORK/driver$slot" "$WORK/member$slot" || die "no sparse files"
    loops+=("$(losetup --find --show "$WORK/driver$slot")") || die "no loop device"
done
linear=no
modprobe linear 2>/dev/null && linear=yes

row '# kernel' "$(uname -r)"
row '# metadata' level layout chunk_sectors component_wanted members array_sectors component_used
if [[ $linear == no ]]; then
    echo "geometry: this kernel has no linear; run it on the test kernel" >&2
fi
unequal_members
mirrors
parities
by_superblock
