#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Records members of arrays as mdadm and the C driver write them, with what mdadm says of each. Run on the host:
#
#   scripts/golden/images.sh [[--add] NAME...]
#
# It boots the test kernel with the C driver, makes every case and leaves tests/golden/images.tar.zst, sparse images
# CASE/MEMBER, and tests/golden/images/CASE.txt, the listings. With names: only these, as a trial in build/golden-trial;
# after --add, beside (or instead of) those that are recorded already.
#
# Nothing but metadata is ever written to the members, so that a sparse copy holds nothing else. A case that is kept
# while its array runs is what a crash would leave.

set -u

WORK=/dev/shm/golden
OUT=$WORK/out
ARRAY=/dev/md99
MD=/sys/block/md99/md
UUID=a1b2c3d4:e5f60718:293a4b5c:6d7e8f90
ARCHIVE_OPTIONS=(--sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --mode='u=rwX,go=rX')

die() {
    echo "images: $*" >&2
    exit 1
}

### On the host

record() {
    local top disk result status add=no
    [[ ${1:-} != --add ]] || {
        add=yes
        shift
        (($# > 0)) || die "what is to be added?"
    }
    top=$(realpath "$(dirname "$0")/../..")
    disk=$(mktemp)
    truncate --size=64M "$disk"
    result=$top/tests/golden
    (($# == 0)) || result=$top/build/golden-trial
    "$top/scripts/vm" --kernel test --driver c --timeout 1500 --allow-splat --disk "$disk:64M" -- \
        "$top/scripts/golden/images.sh" "$@"
    status=$?
    if ((status == 0)); then
        unpack "$result" "$disk"
        status=$?
    fi
    rm -f "$disk"
    if ((status == 0)) && [[ $add == yes ]]; then
        merge "$result" "$top/tests/golden"
        status=$?
    fi
    return $status
}

# merge FROM TO: the cases of one directory go to the other.
merge() {
    local all
    all=$(mktemp --directory)
    tar --extract --zstd --directory "$all" --file "$2/images.tar.zst" &&
        tar --extract --zstd --directory "$all" --file "$1/images.tar.zst" &&
        archive_images "$all" "$2/images.tar.zst" &&
        cp "$1"/images/*.txt "$2/images/"
    set -- $?
    rm -rf "$all"
    return "$1"
}

# archive_images DIR FILE: packs the cases below DIR. Dates and owners say nothing here.
archive_images() {
    tar --create "${ARCHIVE_OPTIONS[@]}" --format=gnu --sparse --exclude=listings --directory "$1" . |
        zstd --quiet --force -19 -o "$2"
}

# unpack DIR DISK: the disk holds a block with two lengths, then two archives: images and listings.
unpack() {
    local images listings
    read -r images listings < <(head --bytes=512 "$2" | tr -d '\0')
    rm -rf "$1/images"
    mkdir -p "$1/images"
    tail --bytes=+513 "$2" | head --bytes="$images" >"$1/images.tar.zst" || return
    tail --bytes=+$((513 + images)) "$2" | head --bytes="$listings" |
        tar --extract --zstd --no-same-owner --directory "$1/images"
}

### In the guest

# members SIZE...: fresh members of so many KiB, as loop devices.
members() {
    local size
    loops=()
    rm -f $WORK/member-*
    for size; do
        truncate --size="${size}K" "$WORK/member-${#loops[@]}" || die "no file of $size KiB"
        loops+=("$(losetup --find --show --sector-size "$block" "$WORK/member-${#loops[@]}")") || die "no loop device"
    done
}

# settle COMMAND...: again until it succeeds.
settle() {
    for _ in {1..100}; do
        "$@" 2>/dev/null && return
        sleep 0.1
    done
    die "$name: '$*' does not succeed"
}

idle() {
    [[ ! -e $MD/sync_action ]] || doing idle
}

# doing ACTION: whether that is what the array does.
doing() {
    [[ $(<$MD/sync_action) == "$1" ]]
}

# create METADATA LEVEL DISKS OPTION...: the array with that many slots; the options name its members.
create() {
    local metadata=$1 level=$2 disks=$3
    shift 3
    mdadm --create $ARRAY --run --quiet --homehost=host --name="$name" --uuid=$UUID --metadata="$metadata" \
        --level="$level" --raid-devices="$disks" "$@" </dev/null >&2 || die "$name: mdadm does not create it"
    settle test -e $MD/array_state
}

# clean_up: stops the array, what it is doing first, and gives the members back.
clean_up() {
    local loop
    if [[ -e $MD/sync_action ]] && doing frozen; then
        # mdadm would go on with the reshape, and waits for it when it is to stop the array.
        pkill -KILL -x mdadm
        settle clear
    fi
    [[ ! -e $MD ]] || stop
    for loop in "${loops[@]}"; do
        settle losetup --detach "$loop"
    done
}

clear() {
    echo clear >$MD/array_state
    [[ ! -e $MD ]]
}

stop() {
    settle mdadm --stop --quiet $ARRAY
    # The node goes a moment after the array.
    settle test ! -e $MD
}

# keep: the members as they are now, and what mdadm says of them.
keep() {
    local number member
    mkdir -p "$OUT/$name" $OUT/listings
    sync
    for number in "${!loops[@]}"; do
        member=$OUT/$name/$number
        cp --sparse=always "$WORK/member-$number" "$member" || die "$name: no room"
        listing "$number" "$member"
    done >"$OUT/listings/$name.txt"
    echo "kept $name, $((number + 1)) members, $(du --summarize --block-size=1K "$OUT/$name" | cut -f 1) KiB"
}

# listing NUMBER FILE: mdadm looks at a device, since it takes a file with a bitmap for a bitmap file.
listing() {
    local loop
    loop=$(losetup --find --show --read-only --sector-size "$block" "$2") || die "no loop device"
    echo "### member $1, $(blockdev --getsz "$loop") sectors, blocks of $block"
    echo "## mdadm --examine"
    mdadm --examine "$loop" 2>&1
    echo "## mdadm --examine --export"
    mdadm --examine --export "$loop" 2>&1
    if mdadm --examine "$loop" 2>&1 | grep --quiet --ignore-case bitmap; then
        echo "## mdadm --examine-bitmap"
        mdadm --examine-bitmap "$loop" 2>&1
    fi
    echo "## mdadm --examine-badblocks"
    mdadm --examine-badblocks "$loop" 2>&1
    losetup --detach "$loop"
}

# write_at MIB...: zeroes to these places of the array, for what the metadata makes of it.
write_at() {
    local at
    for at; do
        dd if=/dev/zero of=$ARRAY bs=64K count=1 seek=$((at * 16)) oflag=direct conv=notrunc status=none ||
            die "$name: cannot write"
    done
}

# wanted NAME: whether to make this case; names it.
wanted() {
    name=$1
    block=512
    [[ ${#only[@]} == 0 || " ${only[*]} " == *" $1 "* ]]
}

# plain METADATA LEVEL BITMAP: a case of the table: a clean array that was in use, stopped.
plain() {
    local metadata=$1 level=$2 bitmap=$3 disks options=()
    wanted "$metadata-$level-$bitmap" || return 0
    case $level in
    linear | raid0 | raid1) disks=2 ;;
    raid4 | raid5) disks=3 ;;
    raid6 | raid10) disks=4 ;;
    esac
    [[ $level == raid1 || $level == linear ]] || options+=(--chunk=64)
    [[ $level == linear || $level == raid0 ]] || options+=(--bitmap="$bitmap")
    # A length that is no multiple of anything, to tell where what lies at the end is looked for.
    members 20483 20483 20483 20483
    create "$metadata" "$level" $disks "${options[@]}" "${loops[@]:0:disks}"
    write_at 1 5
    settle idle
    stop
    loops_used $disks
    keep
    clean_up
}

# loops_used COUNT: gives the other members back.
loops_used() {
    local loop
    for loop in "${loops[@]:$1}"; do
        losetup --detach "$loop"
    done
    loops=("${loops[@]:0:$1}")
}

table() {
    local metadata level
    for metadata in 0.90 1.0 1.1 1.2; do
        for level in linear raid0 raid1 raid4 raid5 raid6 raid10; do
            plain $metadata $level none
        done
        for level in raid1 raid4 raid5 raid6 raid10; do
            plain $metadata $level internal
        done
    done
    # mdadm says that a lockless bitmap is for 1.2 only, and makes one with 0.90 all the same.
    for metadata in 0.90 1.2; do
        for level in raid1 raid4 raid5 raid6 raid10; do
            plain $metadata $level lockless
        done
    done
    no_lockless 1.0
    no_lockless 1.1
}

# no_lockless METADATA: mdadm makes no lockless bitmap with it; when it has learnt to, the table is to grow.
no_lockless() {
    wanted "$1-raid1-lockless" || return 0
    members 20480 20480
    ! mdadm --create $ARRAY --run --quiet --metadata="$1" --level=raid1 --raid-devices=2 --bitmap=lockless \
        "${loops[@]}" </dev/null >&2 || die "$name: mdadm makes it now"
    echo "refused $name"
    clean_up
}

special_members() {
    if wanted bad-blocks; then
        members 20480 20480
        create 1.2 raid1 2 --bitmap=none "${loops[@]}"
        settle idle
        echo 3000 8 >$MD/rd1/bad_blocks
        echo 7777 5 >$MD/rd1/bad_blocks
        write_at 1
        stop && keep && clean_up
    fi
    if wanted bad-blocks-end; then
        members 20483 20480
        create 1.0 raid1 2 --bitmap=internal "${loops[@]}"
        settle idle
        echo 512 1000 >$MD/rd0/bad_blocks
        write_at 1
        stop && keep && clean_up
    fi
    if wanted write-mostly-failfast; then
        members 20480 20480 20480
        create 1.2 raid1 3 --bitmap=internal --write-behind=77 "${loops[0]}" --failfast "${loops[1]}" \
            --write-mostly "${loops[2]}"
        settle idle
        stop && keep && clean_up
    fi
    if wanted write-mostly-0.90; then
        members 20480 20480
        create 0.90 raid1 2 --bitmap=internal "${loops[0]}" --write-mostly "${loops[1]}"
        settle idle
        stop && keep && clean_up
    fi
    if wanted spares; then
        members 20480 20480 20480 20480 20480
        create 1.2 raid5 3 --bitmap=internal --spare-devices=2 "${loops[@]}"
        settle idle
        stop && keep && clean_up
    fi
    if wanted spares-0.90; then
        members 20480 20480 20480
        create 0.90 raid1 2 --bitmap=none --spare-devices=1 "${loops[@]}"
        settle idle
        stop && keep && clean_up
    fi
}

special_failures() {
    local metadata bitmap
    for metadata in 0.90 1.2; do
        for bitmap in internal lockless; do
            [[ $bitmap == internal || $metadata == 1.2 ]] || continue
            wanted "degraded-$metadata-$bitmap" || continue
            members 20480 20480
            # shellcheck disable=SC2086 # options
            create $metadata raid1 2 --bitmap=$bitmap ${BITMAP_OPTIONS[$bitmap]} "${loops[@]}"
            settle idle
            write_at 2
            # The daemon cleans the bitmap.
            sleep 5
            mdadm --quiet $ARRAY --fail "${loops[1]}" || die "$name: cannot fail"
            write_at 3 7 8 15
            stop && keep && clean_up
        done
    done
    if wanted replacement; then
        members 20480 20480 20480
        create 1.2 raid1 2 --bitmap=internal "${loops[@]:0:2}"
        settle idle
        mdadm --quiet $ARRAY --add "${loops[2]}"
        echo 1 >$MD/sync_speed_max
        mdadm --quiet $ARRAY --replace "${loops[0]}" || die "$name: cannot replace"
        settle doing recover
        stop && keep && clean_up
    fi
    if wanted recovering; then
        members 40960 40960 40960
        create 1.2 raid5 3 --bitmap=none --chunk=64 --assume-clean "${loops[@]}"
        mdadm --quiet $ARRAY --fail "${loops[2]}" && mdadm --quiet $ARRAY --remove "${loops[2]}"
        echo 500 >$MD/sync_speed_max
        echo 400 >$MD/sync_speed_min
        mdadm --quiet $ARRAY --add "${loops[2]}" || die "$name: cannot add"
        sleep 4
        stop && keep && clean_up
    fi
    if wanted crashed; then
        members 20480 20480
        create 1.2 raid1 2 --bitmap=internal --bitmap-chunk=64K --delay=1 "${loops[@]}"
        settle idle
        sleep 5
        write_at 1 9
        keep && clean_up
    fi
    if wanted crashed-lockless; then
        members 20480 20480 20480
        create 1.2 raid5 3 --bitmap=lockless "${loops[@]}"
        write_at 1 9
        keep && clean_up
    fi
    if wanted resync-interrupted; then
        members 20480 20480
        echo 100 >/proc/sys/dev/raid/speed_limit_min
        echo 200 >/proc/sys/dev/raid/speed_limit_max
        create 1.0 raid1 2 --bitmap=none "${loops[@]}"
        sleep 3
        stop && keep && clean_up
        echo 1000 >/proc/sys/dev/raid/speed_limit_min
        echo 200000 >/proc/sys/dev/raid/speed_limit_max
    fi
}
declare -A BITMAP_OPTIONS=([internal]="--bitmap-chunk=64K --delay=1" [lockless]='')

# What a power cut in the middle of writing leaves, without and with a bitmap.
special_dirty() {
    local metadata bitmap
    for metadata in 0.90 1.0 1.1; do
        for bitmap in none internal; do
            wanted "dirty-$metadata-$bitmap" || continue
            members 20480 20480 20480
            create $metadata raid5 3 --chunk=64 --bitmap=$bitmap "${loops[@]}"
            settle idle
            echo 1000 >$MD/safe_mode_delay
            write_at 1 5
            [[ $(<$MD/array_state) == active ]] || die "$name: the array is clean again"
            keep && clean_up
        done
    done
}

special_logs() {
    if wanted journal; then
        members 20480 20480 20480 20480
        create 1.2 raid5 3 --chunk=64 --write-journal "${loops[3]}" "${loops[@]:0:3}"
        settle idle
        write_at 1 3
        keep && clean_up
    fi
    if wanted ppl; then
        members 81920 81920 81920
        create 1.2 raid5 3 --chunk=64 --consistency-policy=ppl "${loops[@]}"
        settle idle
        write_at 1 3
        keep && clean_up
    fi
}

special_shapes() {
    if wanted reshape-grow; then
        members 61440 61440 61440 61440
        create 1.2 raid5 3 --chunk=64 --bitmap=none --assume-clean "${loops[@]:0:3}"
        grow_slowly --raid-devices=4 --add "${loops[3]}"
        keep && clean_up
    fi
    if wanted reshape-chunk; then
        members 61440 61440 61440 61440
        create 1.2 raid6 4 --chunk=64 --bitmap=none --assume-clean "${loops[@]}"
        grow_slowly --chunk=128
        keep && clean_up
    fi
    if wanted reshape-0.91; then
        members 61440 61440 61440 61440
        create 0.90 raid5 3 --chunk=64 --bitmap=none --assume-clean "${loops[@]:0:3}"
        mdadm --quiet $ARRAY --add "${loops[3]}"
        grow_slowly --raid-devices=4 --backup-file=$WORK/backup
        keep && clean_up
    fi
    if wanted reshape-shrink; then
        members 61440 61440 61440 61440
        create 1.2 raid5 4 --chunk=64 --bitmap=none --assume-clean "${loops[@]}"
        shrink_slowly 3
        keep && clean_up
    fi
    if wanted reshape-shrink-0.91; then
        members 61440 61440 61440 61440
        create 0.90 raid5 4 --chunk=64 --bitmap=none --assume-clean "${loops[@]}"
        shrink_slowly 3
        keep && clean_up
    fi
    if wanted reshape-layout; then
        members 61440 61440 61440 61440
        create 1.2 raid6 4 --chunk=64 --bitmap=none --assume-clean "${loops[@]}"
        grow_slowly --layout=right-asymmetric
        keep && clean_up
    fi
    if wanted reshape-backwards; then
        # There is room behind the data only, so that is where it goes.
        members 61440 61440 61440 61440
        create 1.2 raid6 4 --chunk=64 --bitmap=none --assume-clean --data-offset=128K --size=56M "${loops[@]}"
        grow_slowly --layout=right-asymmetric
        keep && clean_up
    fi
    if wanted reshape-level; then
        members 61440 61440 61440 61440
        create 1.2 raid5 3 --chunk=64 --bitmap=none --assume-clean "${loops[@]:0:3}"
        mdadm --quiet $ARRAY --add "${loops[3]}"
        grow_slowly --level=6 --backup-file=$WORK/backup
        keep && clean_up
    fi
    if wanted reshape-raid10; then
        members 61440 61440 61440 61440
        create 1.2 raid10 3 --chunk=64 --bitmap=none --assume-clean "${loops[@]:0:3}"
        grow_slowly --raid-devices=4 --add "${loops[3]}"
        keep && clean_up
    fi
    if wanted raid0-zones; then
        members 20480 30720 40960
        create 1.2 raid0 3 --chunk=64 "${loops[@]}"
        stop && keep && clean_up
    fi
    if wanted raid10-far; then
        members 20480 20480 20480
        create 1.2 raid10 3 --layout=f2 --chunk=128 --bitmap=internal "${loops[@]}"
        settle idle
        stop && keep && clean_up
    fi
    if wanted raid10-offset-0.90; then
        members 20480 20480 20480 20480
        create 0.90 raid10 4 --layout=o2 --chunk=32 --bitmap=none "${loops[@]}"
        settle idle
        stop && keep && clean_up
    fi
    if wanted block-4096; then
        block=4096
        members 20480 20480
        create 1.2 raid1 2 --bitmap=internal "${loops[@]}"
        settle idle
        stop && keep && clean_up
    fi
    if wanted block-4096-lockless; then
        block=4096
        members 20480 20480 20480
        create 1.2 raid5 3 --bitmap=lockless "${loops[@]}"
        settle idle
        stop && keep && clean_up
    fi
    if wanted assume-clean-lockless; then
        members 20480 20480 20480 20480
        create 1.2 raid6 4 --bitmap=lockless --assume-clean "${loops[@]}"
        write_at 1
        stop && keep && clean_up
    fi
}

# grow_slowly OPTION...: starts a reshape, waits until a superblock says that it is under way, and holds it there.
grow_slowly() {
    # What mdadm keeps of an earlier reshape.
    rm -f $WORK/backup /run/mdadm/backup_file-*
    echo 1600 >$MD/sync_speed_max
    echo 1000 >$MD/sync_speed_min
    mdadm --grow $ARRAY --quiet "$@" </dev/null >&2 || die "$name: cannot grow"
    settle doing reshape
    local start
    start=$(<$MD/reshape_position)
    settle has_left "$start"
    echo frozen >$MD/sync_action || die "$name: cannot hold the reshape"
    settle doing frozen
}

# has_left POSITION: whether superblocks say that the reshape has come further than that.
has_left() {
    [[ $(<$MD/reshape_position) != "$1" ]]
}

# shrink_slowly DISKS: the same towards fewer members, which needs a shorter array first.
shrink_slowly() {
    mdadm --grow $ARRAY --quiet --array-size=100M || die "$name: cannot shorten"
    grow_slowly --raid-devices="$1" --backup-file=$WORK/backup
}

pack() {
    local images=$WORK/images.tar.zst listings=$WORK/listings.tar.zst
    archive_images $OUT $images || die "cannot pack the images"
    tar --create "${ARCHIVE_OPTIONS[@]}" --directory $OUT/listings . | zstd --quiet -o $listings || die "cannot pack"
    {
        printf '%-512s' "$(stat --format=%s $images) $(stat --format=%s $listings)"
        cat $images $listings
    } | dd of=/dev/vda bs=64K conv=fsync status=none || die "the disk is too small"
    echo "packed $(stat --format=%s $images) bytes of images"
}

[[ -n ${RMD_DRIVER:-} ]] || {
    record "$@"
    exit
}
only=("$@")
[[ $RMD_DRIVER == c ]] || die "the driver must be C's"
# udev would read each array while it is stopped again, and assemble members.
udevadm control --stop-exec-queue
modprobe --quiet loop
mkdir -p $OUT/listings || die "no $OUT"
table
special_members
special_failures
special_dirty
special_logs
special_shapes
pack
