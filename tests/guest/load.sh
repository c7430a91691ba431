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

step "limits of /proc/sys/dev/raid"
cd /proc/sys/dev/raid
same "speed_limit_min" 1000 "$(cat speed_limit_min)"
same "speed_limit_max" 200000 "$(cat speed_limit_max)"
same "sync_io_depth" 32 "$(cat sync_io_depth)"
takes 5000 speed_limit_min
refuses EINVAL garbage speed_limit_min
cd /

step "/proc/mdstat without arrays"
mdstat=$(cat /proc/mdstat)
[[ $mdstat == "Personalities : "*$'\n'"unused devices: <none>" ]] || fail "mdstat: $mdstat"
grep -q '^ *9 md$' /proc/devices || fail "major 9 is not md"
grep -q ' mdp$' /proc/devices || fail "there is no major mdp"

step "an open array keeps the module"
put N $MD_PARAMS/legacy_async_del_gendisk
new_array md_open
exec 3</dev/md_open
same "rmmod while an array is open" 1 "$(rmmod md_mod 2>/dev/null && echo 0 || echo 1)"
exec 3<&-

step "an array that is only a name goes with the module"
rmmod md_mod
same "arrays left" 0 "$(arrays)"
[[ ! -e /proc/mdstat ]] || fail "/proc/mdstat is left"
[[ ! -e /proc/sys/dev/raid/speed_limit_min ]] || fail "/proc/sys/dev/raid is left"
if grep -q ' mdp\?$' /proc/devices; then
	fail "a major is left"
fi
