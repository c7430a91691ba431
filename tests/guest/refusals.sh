#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# What an array that was never configured refuses, with which errno; and that a refusal changes nothing.
set -euo pipefail
# shellcheck source=tests/lib/guest.sh
source "$(dirname "$0")/../lib/guest.sh"

put N $MD_PARAMS/legacy_async_del_gendisk

step "names"
for name in md raid0 mdx md1x "md-1" "md 1" md1048576 md99999999999999999999 nd_a; do

	refuses EINVAL "$name" $MD_PARAMS/new_array
done
refuses E2BIG md_01234567890123456789012345678 $MD_PARAMS/new_array
put md_0123456789012345678901234567 $MD_PARAMS/new_array 2>/dev/null || fail "a name of 31 characters"
put clear /sys/block/md_0123456789012345678901234567/md/array_state
new_array md3
refuses EEXIST md3 $MD_PARAMS/new_array
new_array md_a
refuses EEXIST md_a $MD_PARAMS/new_array
same "newlines behind a name" OK "$(errno_of put 'md_b\n' $MD_PARAMS/new_array)"
put clear /sys/block/md_b/md/array_state
put clear /sys/block/md_a/md/array_state

step "ioctls of an unconfigured array"
# A named array stays whatever is asked of it; one that is only a number goes after the first ioctl that made sense.
new_array md_ioctl
chmod 666 /dev/md3
while read -r number expected what; do
	same "$what" "$expected" "$(ioctl /dev/md_ioctl "$number")"
done <<-'LIST'
	0x800c0910 EFAULT RAID_VERSION to nowhere
	0x80480911 ENODEV GET_ARRAY_INFO
	0x80140912 ENODEV GET_DISK_INFO
	0x40140921 EFAULT ADD_NEW_DISK from nowhere
	0x0922 ENODEV HOT_REMOVE_DISK
	0x0928 ENODEV HOT_ADD_DISK
	0x0929 ENODEV SET_DISK_FAULTY
	0x4004092b EINVAL SET_BITMAP_FILE
	0x400c0930 EINVAL RUN_ARRAY
	0x0933 ENODEV STOP_ARRAY_RO
	0x0934 ENODEV RESTART_ARRAY_RW
	0x0935 ENODEV CLUSTERED_DISK_NACK
	0x0914 ENOTTY RAID_AUTORUN
	0x0920 ENOTTY CLEAR_ARRAY
	0x0999 ENOTTY a number nobody has
LIST
put clear /sys/block/md_ioctl/md/array_state
same "RAID_VERSION" "0.90.3" "$(python3 -c '
import fcntl, os, struct
version = fcntl.ioctl(os.open("/dev/md3", os.O_RDONLY), 0x800c0910, bytes(12))
print("%d.%d.%d" % struct.unpack("3i", version))')"

step "an array without members has no data"
same "size" 0 "$(cat /sys/block/md3/size)"
same "reading" 0 "$(head -c 512 /dev/md3 | wc -c)"
same "writing" ENOSPC "$(errno_of dd if=/dev/zero of=/dev/md3 bs=512 count=1)"
same "making it read-only" ENODEV "$(errno_of blockdev --setro /dev/md3)"
same "heads and sectors" "2 4" "$(python3 -c '
import fcntl, os, struct
geometry = fcntl.ioctl(os.open("/dev/md3", os.O_RDONLY), 0x301, bytes(16))
print(*struct.unpack("BB", geometry[:2]))')"

step "ioctls without the right"
for number in 0x40140921 0x0922 0x40480923 0x400c0930 0x0932 0x0933 0x0934; do
	same "ioctl $number as nobody" EACCES "$(setpriv --reuid=65534 --clear-groups --bounding-set=-all \
		bash -c "$(declare -f ioctl); ioctl /dev/md3 $number")"
done
[[ -d /sys/block/md3 ]] || fail "an ioctl without the right did something"

step "writing an attribute without the right"
for file in level array_state raid_disks; do
	chmod 666 /sys/block/md3/md/$file
	same "write to $file as nobody" EACCES "$(setpriv --reuid=65534 --clear-groups --bounding-set=-all bash -c \
		"$(declare -f errno_of put); errno_of put 1 /sys/block/md3/md/$file")"
done

step "garbage to every writable attribute"
# A setting, so that the array is not gone after the first write.
put 4 /sys/block/md3/md/raid_disks
cd /sys/block/md3/md
for file in *; do
	[[ -f $file && -n $(find "$file" -perm /200) ]] || continue
	case $file in
	level | metadata_version | new_dev) continue ;; # take any word, or are checked below
	esac
	for text in "garbage" "-" "0x" "99999999999999999999999" "1 2" "" "."; do
		case "$file:$text" in
		bitmap_type:99999999999999999999999) errno=ERANGE ;;
		bitmap_type:*) errno=EINVAL ;;
		array_size:* | component_size:* | safe_mode_delay:* | logical_block_size:* | reshape_direction:*) errno=EINVAL ;;
		array_state:* | consistency_policy:* | fail_last_dev:* | serialize_policy:*) errno=EINVAL ;;
		*:99999999999999999999999) errno=ERANGE ;;
		*) errno=EINVAL ;;
		esac
		# kernfs swallows an empty write before it reaches the driver.
		[[ -n $text ]] || continue
		# A boolean is judged by its first letter.
		case "$file:$text" in fail_last_dev:[0-9]* | serialize_policy:[0-9]*) continue ;; esac
		refuses "$errno" "$text" "$file"
	done
done

step "values out of range"
refuses EINVAL 65536 raid_disks
refuses EINVAL 4294967295 raid_disks
refuses EINVAL 0123456789abcdef level
refuses EINVAL 2147483648 max_read_errors
refuses EINVAL -1 new_level
refuses EINVAL 4294967295 new_level
refuses ENOENT 7 bitmap_type
refuses EINVAL lockless bitmap_type
refuses ENOENT 2.0 metadata_version
refuses EINVAL 1 metadata_version
refuses EINVAL 1.2.3 metadata_version
refuses EINVAL none reshape_position
refuses EINVAL 1 serialize_policy
refuses EINVAL ppl consistency_policy
refuses EINVAL 4096 logical_block_size
refuses EINVAL 4294968 safe_mode_delay
for state in suspended write-pending active-idle broken readonly read-auto active clean; do
	refuses EINVAL $state array_state
done
refuses EINVAL 8:0:1 new_dev
refuses EINVAL 8 new_dev
refuses EINVAL 8: new_dev
refuses EOVERFLOW 4096:0 new_dev
refuses EOVERFLOW 8:1048576 new_dev

step "what is taken reads back"
takes raid1 level
takes 1 new_level
takes 258 layout
takes 65536 chunk_size
takes 1000 component_size
refuses ENOSPC 2000 component_size
takes 900 component_size
takes none resync_start
takes 12345 resync_start
takes 0.250 safe_mode_delay
takes 50 max_read_errors
takes llbitmap bitmap_type "none bitmap [llbitmap] "
takes 14 bitmap_type "[none] bitmap llbitmap "
takes bitmap bitmap_type "none [bitmap] llbitmap "
takes 1 fail_last_dev
takes 5000 array_size
takes default array_size
takes 1.2 metadata_version
takes 4096 logical_block_size
refuses EINVAL 512 logical_block_size
takes external:/md127/0 metadata_version
takes 64 reshape_position
takes 6 raid_disks "6 (4)"
takes 3 layout "3 (258)"
takes 3 raid_disks "3 (4)"
same "reshape_direction" backwards "$(cat reshape_direction)"
refuses EBUSY forwards reshape_direction
cd /
put clear /sys/block/md3/md/array_state
same "arrays left" 0 "$(arrays)"
