#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# vm: --smp 2 --timeout 1800
#
# switches.sh [SWITCHES]: the bitmap of a raid1 at work is added and removed so many times (24; 500 with RMD_LONG=1) by
# `bitmap/location`, while others store to the array's files and read them, data are written, and now and then the array
# is stopped and assembled, or made again with a lockless bitmap.
set -euo pipefail
# shellcheck source=tests/lib/guest.sh
source "$(dirname "$0")/../lib/guest.sh"

SWITCHES=${1:-$([[ -n ${RMD_LONG:-} ]] && echo 500 || echo 24)}
# Switches between two stops.
LIFE=10
LIB=$(dirname "$0")/../lib
MD=/sys/block/md0/md
LOCATION=$MD/bitmap/location
DISKS=(/dev/ram0 /dev/ram1)
WORK=$(mktemp -d)
true >"$WORK/acks"

modprobe brd rd_nr=${#DISKS[@]} rd_size=16384 max_part=0
put N $MD_PARAMS/legacy_async_del_gendisk

# create BITMAP: the array anew; what is in it stays.
create() {
	mdadm --quiet --create /dev/md0 --run --assume-clean --metadata=1.2 --data-offset=1M --size=8M --level=1 \
		--raid-devices=2 --bitmap="$1" "${DISKS[@]}" 2>"$WORK/mdadm" || fail "$(cat "$WORK/mdadm")"
}

# write_on: blocks are written from here on, by a group of processes of their own. What is acknowledged is kept.
write_on() {
	local known i
	known=$(stat -c %s "$WORK/acks")
	setsid python3 "$LIB/writer.py" write md0 /dev/md0 $((life * 1000000 + 1)) 0 2 >>"$WORK/acks" &
	writer=$!
	for ((i = 0; i < 600; i++)); do
		[[ $(stat -c %s "$WORK/acks") == "$known" ]] || return 0
		sleep 0.1
	done
	fail "nothing is written: $(cat /proc/mdstat)"
}

# verify: nobody writes any more, and all that was acknowledged is there.
verify() {
	kill -- "-$writer" 2>/dev/null || fail "nobody was writing any more"
	wait "$writer" || true
	sed -n 's/^@@ack //p' "$WORK/acks" >"$WORK/known"
	python3 "$LIB/writer.py" verify md0 /dev/md0 "$WORK/known" >"$WORK/verified" || fail "$(cat "$WORK/verified")"
}

# becomes_so TEXT: stores TEXT to `location` until that is taken, as a pass or another store may be under way.
becomes_so() {
	local i
	for ((i = 0; i < 600; i++)); do
		if put "$1" $LOCATION 2>/dev/null && [[ $i == 0 || $(cat $LOCATION) == "$1" ]]; then return; fi
		sleep 0.1
	done
	fail "location does not become $1: $(cat $LOCATION /proc/mdstat)"
}

# stop: others store meanwhile, but nobody has it open.
stop() {
	local i
	for ((i = 0; i < 20; i++)); do
		! mdadm --quiet --stop /dev/md0 2>"$WORK/mdadm" || return 0
		sleep 0.2
	done
	fail "$(cat "$WORK/mdadm")"
}

# grow BITMAP: others may be faster, or a pass under way.
grow() {
	local i
	for ((i = 0; i < 50; i++)); do
		! mdadm --quiet --grow /dev/md0 --bitmap="$1" 2>"$WORK/mdadm" || return 0
		[[ $1 != internal || $(cat $LOCATION) != +8 ]] || return 0
		sleep 0.2
	done
	fail "no bitmap becomes $1: $(cat "$WORK/mdadm" /proc/mdstat)"
}

step "a bitmap comes and goes $SWITCHES times"
life=0
create internal
write_on
python3 "$LIB/racers.py" md0 "$WORK/stop" >"$WORK/racers" 2>&1 &
racers=$!
for ((switch = 0; switch < SWITCHES; switch++)); do
	kill -0 $racers 2>/dev/null || fail "$(cat "$WORK/racers")"
	if ((switch % 2)); then becomes_so +8; else becomes_so none; fi
	((switch % LIFE == LIFE - 1)) || continue
	verify
	stop
	life=$((life + 1))
	if ((life % 2)); then
		mdadm --quiet --assemble /dev/md0 "${DISKS[@]}"
	else
		create lockless
		write_on
		sleep 1
		verify
		life=$((life + 1))
		# As mdadm does it, who also writes another bitmap.
		grow none
		grow internal
	fi
	write_on
done

step "all is as it was"
touch "$WORK/stop"
wait $racers || fail "$(cat "$WORK/racers")"
put idle $MD/sync_action
idle
becomes_so none
same "files" location "$(find $MD/bitmap -type f -printf '%f ' | xargs)"
[[ ! -e $MD/llbitmap ]] || fail "md/llbitmap is there"
verify
put check $MD/sync_action
idle
same "mismatches" 0 "$(cat $MD/mismatch_cnt)"
stop
life=$((life + 1))
mdadm --quiet --assemble /dev/md0 "${DISKS[@]}"
same "location" none "$(cat $LOCATION)"
write_on
verify
mdadm --quiet --stop /dev/md0
cat "$WORK/racers"
echo "rmd-detail: $SWITCHES switches, $(wc -l <"$WORK/known") writes"
rmmod md_mod
