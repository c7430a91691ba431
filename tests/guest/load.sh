#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# Loading and unloading: parameters, /proc and /sys, aliases, and what is refused.
set -euo pipefail
# shellcheck source=tests/lib/guest.sh
source "$(dirname "$0")/../lib/guest.sh"

step "parameters have the modes and defaults of the C driver"
for expected in \
	"600 start_ro 0" "644 start_dirty_degraded 0" "600 create_on_open Y" \
	"600 legacy_async_del_gendisk Y" "600 check_new_feature Y"; do
	read -r mode name value <<<"$expected"
	same "mode of $name" "$mode" "$(stat -c %a $MD_PARAMS/"$name")"
	same "value of $name" "$value" "$(cat $MD_PARAMS/"$name")"
done
same "mode of new_array" 200 "$(stat -c %a $MD_PARAMS/new_array)"
takes 2 $MD_PARAMS/start_ro
takes N $MD_PARAMS/create_on_open
takes Y $MD_PARAMS/create_on_open
takes 0 $MD_PARAMS/start_ro
same "reading new_array" EACCES "$(errno_of cat $MD_PARAMS/new_array)"
for text in garbage 1x '\n' -1 0x10 2147483648; do
	refuses EINVAL "$text" $MD_PARAMS/start_ro
done
refuses ERANGE 4294967296 $MD_PARAMS/start_ro
takes 010 $MD_PARAMS/start_ro 10
takes '0\n' $MD_PARAMS/start_ro 0
for text in garbage 1x '\n'; do
	refuses EINVAL "$text" $MD_PARAMS/start_dirty_degraded
done
refuses ERANGE 2147483648 $MD_PARAMS/start_dirty_degraded
takes -1 $MD_PARAMS/start_dirty_degraded
takes 0 $MD_PARAMS/start_dirty_degraded
for name in create_on_open check_new_feature legacy_async_del_gendisk; do
	refuses EINVAL garbage $MD_PARAMS/$name
done

step "aliases"
aliases=$(modinfo -F alias "$RMD_MODULE")
for alias in md block-major-9-\* md-level-{-1,0,1,4,5,6,10} md-linear md-raid{0,1,4,5,6,10} \
	md-personality-{1,2,3,4,8,9}; do
	grep -qxF -- "$alias" <<<"$aliases" || fail "no alias $alias"
done

step "limits of /proc/sys/dev/raid"
cd /proc/sys/dev/raid
same "speed_limit_min" 1000 "$(cat speed_limit_min)"
same "speed_limit_max" 200000 "$(cat speed_limit_max)"
same "sync_io_depth" 32 "$(cat sync_io_depth)"
takes 5000 speed_limit_min
refuses EINVAL garbage speed_limit_min
cd /

step "somebody without rights"
as_nobody() {
	setpriv --reuid=65534 --regid=65534 --clear-groups --bounding-set=-all bash -c \
		"$(declare -f errno_of put); errno_of $*"
}
for file in $MD_PARAMS/{start_ro,start_dirty_degraded,new_array,create_on_open,legacy_async_del_gendisk} \
	$MD_PARAMS/check_new_feature /proc/sys/dev/raid/{speed_limit_min,speed_limit_max,sync_io_depth}; do
	same "write to $file as nobody" EACCES "$(as_nobody put 1 "$file")"
done
same "reading mdstat as nobody" OK "$(as_nobody cat /proc/mdstat)"
same "reading start_ro as nobody" EACCES "$(as_nobody cat $MD_PARAMS/start_ro)"

step "/proc/mdstat without arrays"
mdstat=$(cat /proc/mdstat)
[[ $mdstat == "Personalities : "*$'\n'"unused devices: <none>" ]] || fail "mdstat: $mdstat"
grep -q '^ *9 md$' /proc/devices || fail "major 9 is not md"
grep -q ' mdp$' /proc/devices || fail "there is no major mdp"

same "writing mdstat" EIO "$(errno_of put x /proc/mdstat)"

step "an open array keeps the module"
put N $MD_PARAMS/legacy_async_del_gendisk
new_array md_open
exec 3</dev/md_open
same "rmmod while an array is open" 1 "$(rmmod md_mod 2>/dev/null && echo 0 || echo 1)"
exec 3<&-

step "arrays are told to go while the module does"
# The debug kernel takes some seconds to load a module.
rounds=10
[[ ${RMD_KERNEL:-} != debug ]] || rounds=3
for ((i = 0; i < rounds; i++)); do
	new_array md_going
	put clear /sys/block/md_going/md/array_state 2>/dev/null &
	# It is in use while the word is obeyed.
	until rmmod md_mod 2>/dev/null; do sleep 0.1; done
	wait
	insmod "$RMD_MODULE"
	put N $MD_PARAMS/legacy_async_del_gendisk
done

step "an array that is only a name goes with the module"
new_array md_open
rmmod md_mod
same "arrays left" 0 "$(arrays)"
[[ ! -e /proc/mdstat ]] || fail "/proc/mdstat is left"
[[ ! -e /proc/sys/dev/raid/speed_limit_min ]] || fail "/proc/sys/dev/raid is left"
if grep -q ' mdp\?$' /proc/devices; then
	fail "a major is left"
fi
