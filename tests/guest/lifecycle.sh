#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# Arrays come and go: by name, by number, by opening a node; and nothing is left of them.
# vm-debug: --timeout 1500
set -euo pipefail
# shellcheck source=tests/lib/guest.sh
source "$(dirname "$0")/../lib/guest.sh"

# The debug kernel takes some thirty times as long for a fork.
rounds=25
[[ ${RMD_KERNEL:-} != debug ]] || rounds=5

put N $MD_PARAMS/legacy_async_del_gendisk
# A node that udev had found, and opens when its array is gone, would make the array anew.
put N $MD_PARAMS/create_on_open

step "200 arrays, created and stopped"
for ((i = 0; i < 100; i++)); do
	new_array "md$i"
	new_array "md_name$i"
done
same "arrays" 200 "$(arrays)"
same "first named minor" 512 "$(stat -c %Lr /dev/md_name0 2>/dev/null || cut -d: -f2 /sys/block/md_name0/dev)"
for ((i = 0; i < 100; i++)); do
	if ((i < 4 * rounds)); then
		command mdadm --quiet --stop "/dev/md$i"
	else
		put clear "/sys/block/md$i/md/array_state"
	fi
	put clear "/sys/block/md_name$i/md/array_state"
done
same "arrays left" 0 "$(arrays)"

step "a stopped array can be created again at once, many times"
for ((i = 0; i < 2 * rounds; i++)); do
	new_array md5
	command mdadm --quiet --stop /dev/md5
done
same "arrays left" 0 "$(arrays)"

step "opening a node creates its array, closing it takes it away"
settled
put Y $MD_PARAMS/create_on_open
mknod /tmp/md77 b 9 77
exec 3</tmp/md77
[[ -d /sys/block/md77/md ]] || fail "opening the node did not create md77"
same "array_state" clear "$(cat /sys/block/md77/md/array_state)"
exec 3<&-
# It was created by its number, so it stays until something was asked of it.
same "STOP_ARRAY" OK "$(ioctl /tmp/md77 0x932)"
same "arrays left" 0 "$(arrays)"
mknod /tmp/md600 b 9 600
same "a minor for named arrays" ENXIO "$(errno_of cat /tmp/md600)"
mdp=$(awk '$2 == "mdp" { print $1 }' /proc/devices)
mknod /tmp/md_d1 b "$mdp" 64
exec 3</tmp/md_d1
[[ -d /sys/block/md_d1/md ]] || fail "opening the node did not create md_d1"
exec 3<&-
refuses EEXIST md_d1 $MD_PARAMS/new_array
same "STOP_ARRAY" OK "$(ioctl /tmp/md_d1 0x932)"
# A partition's node stands for its array.
mknod /tmp/md_d0p5 b "$mdp" 5
same "a partition that is not there" ENXIO "$(errno_of cat /tmp/md_d0p5)"
same "number of md_d0" "$mdp:0" "$(cat /sys/block/md_d0/dev)"
mknod /tmp/md_d0 b "$mdp" 0
same "STOP_ARRAY" OK "$(ioctl /tmp/md_d0 0x932)"
# Who was given that name keeps it.
new_array md_d1
same "a node whose name is taken" ENXIO "$(errno_of cat /tmp/md_d1)"
put clear /sys/block/md_d1/md/array_state
settled
put N $MD_PARAMS/create_on_open
same "create_on_open=N" ENXIO "$(errno_of cat /tmp/md77)"
same "arrays left" 0 "$(arrays)"

step "settings keep an array that nobody has open; without any it goes with its last user"
new_array md9
put 3 /sys/block/md9/md/raid_disks
put inactive /sys/block/md9/md/array_state
[[ -d /sys/block/md9 ]] || fail "md9 had a setting"
grep -q '^md9 : inactive' /proc/mdstat || fail "mdstat does not list md9"
put 0 /sys/block/md9/md/raid_disks
for ((i = 0; i < 50; i++)); do
	[[ -d /sys/block/md9 ]] || break
	sleep 0.1
done
same "arrays left" 0 "$(arrays)"

step "a stopped array that is still open is gone for everybody else"
new_array md_held
exec 3</dev/md_held
put clear /sys/block/md_held/md/array_state
[[ ! -e /sys/block/md_held ]] || fail "md_held is still there"
new_array md_held
exec 3<&-
put clear /sys/block/md_held/md/array_state

step "pollers of mdstat are told"
new_array md_poll
python3 - <<-'PYTHON'
	import select, threading, time
	mdstat = open("/proc/mdstat")
	mdstat.read()
	poll = select.poll()
	poll.register(mdstat, select.POLLPRI)
	assert not poll.poll(100), "told of nothing"
	def stop():
	    time.sleep(0.3)
	    open("/sys/block/md_poll/md/array_state", "w").write("clear")
	threading.Thread(target=stop).start()
	assert poll.poll(20000), "not told that an array stopped"
	mdstat.seek(0); mdstat.read()
	assert not poll.poll(100), "told twice"
PYTHON

step "creating, opening and stopping at the same time"
for ((i = 0; i < 4; i++)); do
	(
		for ((n = 0; n < rounds; n++)); do
			put "md_race$((n % 3))" $MD_PARAMS/new_array 2>/dev/null || true
			cat /proc/mdstat /sys/block/md_race*/md/array_state >/dev/null 2>&1 || true
			head -c 0 "/dev/md_race$((n % 3))" 2>/dev/null || true
			put clear "/sys/block/md_race$((n % 3))/md/array_state" 2>/dev/null || true
		done
	) &
done
wait
for ((i = 0; i < 3; i++)); do
	put clear "/sys/block/md_race$i/md/array_state" 2>/dev/null || true
done
same "arrays left" 0 "$(arrays)"

step "the old way: the disk stays until the last close"
put Y $MD_PARAMS/legacy_async_del_gendisk
new_array md8
same "STOP_ARRAY" OK "$(ioctl /dev/md8 0x932)"
put N $MD_PARAMS/legacy_async_del_gendisk
udevadm settle
if [[ -d /sys/block/md8 ]]; then
	same "STOP_ARRAY" OK "$(ioctl /dev/md8 0x932)"
fi
same "arrays left" 0 "$(arrays)"

# What the module left behind is found by the scan for leaks that follows every scenario on the debug kernel.
rmmod md_mod
