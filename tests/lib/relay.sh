#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# In a guest: one stage of arrays that are handed from one guest to the next, on disks that outlive them.
#
#   relay.sh ACKS FIRST END CASE...
#
# A CASE is LEVEL[/LAYOUT]:METADATA:BITMAP:MEMBERS[:RESHAPE], for example raid1:1.2:none:2 or raid10/f2:1.2:internal:4;
# case number N lies on partition N of the disks vda, vdb, ... RESHAPE says what the reshapes of it change, there and
# back: layout, chunk or slots (one of its members is a spare then, at first). On blank disks the arrays are made, else
# they are assembled and the acknowledged writes in the file ACKS looked for. Then all are written to (see writer.py;
# sequence numbers from FIRST). END says how it ends:
#
#   stop      members are made to agree and compared first; after some writes the arrays are stopped
#   settle    the same, but written to until somebody cuts the power
#   rush      nothing is waited for: the power is cut during the resync
#   degrade   as settle, and while it is written one member of each array fails
#   reshape   the power is cut during a reshape: the one that was interrupted goes on, slowly, or a new one begins
#   pause     what was interrupted goes on to its end, a new reshape begins, and the arrays are stopped half-way
#
# Lines for the host: `@@writing` when the load has begun, `@@ack ...`, `@@degraded`, `@@stopped`, and
# `@@position NUMBER KIB...` with where the superblocks of an array say a reshape is.

set -euo pipefail
# shellcheck source=tests/lib/guest.sh
source "$(dirname "$0")/guest.sh"

ACKS=$1 FIRST=$2 END=$3
shift 3
WRITER=$(dirname "$0")/writer.py
SLICE=${RMD_RELAY_SLICE:-24} # MiB of a partition
WRITES=${RMD_RELAY_WRITES:-150}

# The words of a case.
level_of() { local word=${1%%:*}; echo "${word%%/*}"; }
layout_of() { local word=${1%%:*}; [[ $word != */* ]] || echo "${word#*/}"; }
field() { cut -d : -f "$2" <<<"$1"; }

# members CASE NUMBER: its partitions.
members() {
	local n
	for ((n = 0; n < $(field "$1" 4); n++)); do
		printf '/dev/vd%b%d\n' "\\x$(printf %x $((97 + n)))" "$2"
	done
}

is_redundant() { [[ $(level_of "$1") != linear && $(level_of "$1") != raid0 ]]; }
is_reshaped() { [[ -n $(field "$1" 5) ]]; }

# create CASE NUMBER
create() {
	local level layout args=() list
	level=$(level_of "$1") layout=$(layout_of "$1")
	mapfile -t list < <(members "$1" "$2")
	[[ -z $layout ]] || args+=(--layout="$layout")
	# With room for the data to move.
	! is_reshaped "$1" || args+=(--chunk=64 --data-offset=2M --size="$((SLICE - 8))M")
	[[ $(field "$1" 5) != slots ]] || args+=(--spare-devices=1)
	! is_redundant "$1" || args+=(--bitmap="$(field "$1" 3)")
	# The same name and UUID whoever makes it, so that superblocks can be compared.
	[[ $(field "$1" 2) == 0.90 ]] || args+=(--name="relay$2" --homehost=rmd)
	mdadm --quiet --create /dev/md"$2" --run --level="$level" --metadata="$(field "$1" 2)" --uuid="$(uuid "$2")" \
		--raid-devices="$(slots "$1")" "${args[@]}" "${list[@]}"
}

# slots CASE: how many slots it is made with.
slots() {
	local members
	members=$(field "$1" 4)
	[[ $(field "$1" 5) != slots ]] || members=$((members - 1))
	echo "$members"
}

uuid() { printf 'a1b2c3d4:e5f60718:293a4b5c:%08x' "$1"; }

# assemble CASE NUMBER: a member that was left behind is added again.
assemble() {
	local list missing
	mapfile -t list < <(members "$1" "$2")
	mdadm --assemble /dev/md"$2" --run "${list[@]}"
	is_redundant "$1" || return 0
	for missing in "${list[@]}"; do
		if [[ ! -e /sys/block/md$2/md/dev-${missing#/dev/} ]]; then
			[[ ${CATCH_UP:-no} == no ]] || mdadm /dev/md"$2" --add "$missing"
		fi
	done
}

# rest NUMBER: sleeps until no pass runs, nor is about to.
rest() {
	local i seen=0
	for ((i = 0; i < 6000; i++)); do
		if [[ $(cat /sys/block/md"$1"/md/sync_action) == idle ]]; then seen=$((seen + 1)); else seen=0; fi
		((seen < 5)) || return 0
		sleep 0.1
	done
	fail "md$1 does not settle: $(cat /proc/mdstat)"
}

# leg DEVICE NUMBER: a checksum of the data of a mirror's member, from media.
leg() {
	local offset size
	offset=$(cat /sys/block/md"$2"/md/dev-"${1#/dev/}"/offset)
	size=$(cat /sys/block/md"$2"/size)
	dd if="$1" bs=1M iflag=direct,skip_bytes,count_bytes skip=$((offset * 512)) count=$((size * 512)) status=none |
		sha256sum | cut -d ' ' -f 1
}

# agree CASE NUMBER: all members are there, and copies are the same: by the driver's word, and byte for byte.
agree() {
	local member first='' sum
	is_redundant "$1" || return 0
	rest "$2"
	same "degraded of md$2" 0 "$(cat /sys/block/md"$2"/md/degraded)"
	# With a lockless bitmap, what was never written is never made to agree.
	if [[ $(level_of "$1") == raid1 && $(field "$1" 3) != lockless ]]; then
		for member in $(members "$1" "$2"); do
			sum=$(leg "$member" "$2")
			same "data of $member" "${first:-$sum}" "$sum"
			first=$sum
		done
	fi
	echo check >/sys/block/md"$2"/md/sync_action
	rest "$2"
	same "mismatches of md$2" 0 "$(cat /sys/block/md"$2"/md/mismatch_cnt)"
	! is_reshaped "$1" || agree_by_format "$1" "$2"
}

# agree_by_format CASE NUMBER: copies of a raid10 are where the format says, and the same.
agree_by_format() {
	local list
	mapfile -t list < <(members "$1" "$2")
	python3 "$(dirname "$0")/raid10.py" /dev/md"$2" "${list[@]:0:$(cat /sys/block/md"$2"/md/raid_disks)}" ||
		fail "copies of md$2 differ from it"
}

each() {
	local verb=$1 case number=0
	shift
	for case in "$@"; do
		number=$((number + 1))
		"$verb" "$case" $number
	done
}

verify() { python3 "$WRITER" verify "$2" /dev/md"$2" "$ACKS"; }
# What a reshape makes larger, the next one makes smaller.
load() { python3 "$WRITER" write "$2" /dev/md"$2" "$FIRST" "$COUNT" 2 "$(smallest "$1")" & }
smallest() { if is_reshaped "$1"; then echo "$(($(slots "$1") * (SLICE - 8) * 1024 / 2 / 4))"; else echo 0; fi; }
stop() { mdadm --quiet --stop /dev/md"$2"; }

# lose CASE NUMBER: the last member fails.
lose() {
	! is_redundant "$1" || mdadm /dev/md"$2" --fail "$(members "$1" "$2" | tail -n 1)"
}

# position CASE NUMBER: for the host.
position() {
	local list
	is_reshaped "$1" || return 0
	mapfile -t list < <(members "$1" "$2")
	echo "@@position $2" "$(command mdadm --examine "${list[@]}" |
		sed -n "s/.*Reshape pos'n : \\([0-9]*\\).*/\\1/p" | paste -s -d ' ')"
}

# together CASE NUMBER: passes over it do not wait for those over other partitions of its disks.
together() { ! is_reshaped "$1" || echo 1 >/sys/block/md"$2"/md/sync_force_parallel; }

is_between() { [[ $(cat /sys/block/md"$1"/md/reshape_position) != none ]]; }

# note CASE NUMBER: whether a reshape of it goes on; what follows is for all those of which none does, though one may
# end meanwhile.
declare -A between
note() {
	is_reshaped "$1" || return 0
	! is_between "$2" || between[$2]=yes
}

is_at_rest() { is_reshaped "$1" && [[ -z ${between[$2]:-} ]]; }

# hurry CASE NUMBER: what comes after its reshape is not slow.
hurry() {
	is_at_rest "$1" "$2" || return 0
	echo 1000000 >/sys/block/md"$2"/md/sync_speed_max
	echo 1000000 >/sys/block/md"$2"/md/sync_speed_min
}

# recover CASE NUMBER: an array that has ended its reshape is as it should be.
recover() {
	is_at_rest "$1" "$2" || return 0
	hurry "$1" "$2"
	rest "$2"
	same "degraded of md$2" 0 "$(cat /sys/block/md"$2"/md/degraded)"
	agree_by_format "$1" "$2"
	echo system >/sys/block/md"$2"/md/sync_speed_min
	echo system >/sys/block/md"$2"/md/sync_speed_max
}

# grow CASE NUMBER: a reshape begins, unless one goes on.
grow() {
	local md=/sys/block/md$2/md args=()
	is_at_rest "$1" "$2" || return 0
	# A C driver would put second copies of offset copies elsewhere (Documentation/defects.md).
	[[ $RMD_DRIVER:$(field "$1" 5):$(cat "$md/layout") != c:layout:258 ]] || return 0
	case $(field "$1" 5):$(cat "$md/layout"):$(cat "$md/chunk_size"):$(cat "$md/raid_disks") in
	layout:258:*) args=(--layout=o2) ;;
	layout:*) args=(--layout=n2) ;;
	chunk:*:65536:*) args=(--chunk=128) ;;
	chunk:*) args=(--chunk=64) ;;
	slots:*:"$(slots "$1")") args=(--raid-devices="$(field "$1" 4)") ;;
	slots:*)
		mdadm --quiet --grow /dev/md"$2" --array-size=$(($(smallest "$1") * 4))
		args=(--raid-devices="$(slots "$1")")
		;;
	esac
	[[ $END != pause ]] || echo $(($(smallest "$1") * 4)) >"$md/sync_max"
	mdadm --quiet --grow /dev/md"$2" "${args[@]}"
	echo "md$2: ${args[*]}, $(cat "$md/reshape_direction")"
}

# half CASE NUMBER: waits until it has come to its half.
half() {
	local md=/sys/block/md$2/md
	is_reshaped "$1" && is_between "$2" || return 0
	await "progress of md$2" $(($(cat "$md/sync_max") / 2)) reached "$2"
}

# reached NUMBER: how many KiB of it a reshape has done, as mdstat has it.
reached() { sed -n "/^md$1 /,/^ *\$/s/.* reshape = *[0-9.]*% (\([0-9]*\)\/.*/\1/p" /proc/mdstat; }

put N $MD_PARAMS/legacy_async_del_gendisk
for limit in speed_limit_min speed_limit_max; do
	# 32 MiB are to be reshaped.
	if [[ $END == reshape ]]; then echo 700; else echo 1000000; fi >/proc/sys/dev/raid/$limit
done
[[ $END == rush || $END == reshape ]] || CATCH_UP=yes
partitions $# "$SLICE" /dev/vd?
if [[ $(head -c 5 /dev/vda | tr -d '\0') != relay ]]; then
	step "new arrays"
	each create "$@"
	each together "$@"
	echo relay | dd of=/dev/vda conv=notrunc,fsync status=none
else
	each position "$@"
	step "assembly"
	each assemble "$@"
	each together "$@"
	cat /proc/mdstat
	each verify "$@"
fi
if [[ $END != rush && $END != reshape ]]; then
	step "agreement"
	each agree "$@"
	[[ ! -e $ACKS ]] || each verify "$@"
fi
if [[ $END == reshape || $END == pause ]]; then
	step "reshape"
	each note "$@"
	each hurry "$@"
	each recover "$@"
	each grow "$@"
fi
step "load"
COUNT=0
[[ $END != stop && $END != pause ]] || COUNT=$WRITES
each load "$@"
echo "@@writing"
if [[ $END == degrade ]]; then
	sleep 2
	each lose "$@"
	echo "@@degraded"
fi
for job in $(jobs -p); do
	wait "$job" || fail "a writer failed"
done
step "stop"
if [[ $END == pause ]]; then each half "$@"; else each agree "$@"; fi
each stop "$@"
echo "@@stopped"
