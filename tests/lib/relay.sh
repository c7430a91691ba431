#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# In a guest: one stage of arrays that are handed from one guest to the next, on disks that outlive them.
#
#   relay.sh ACKS FIRST END CASE...
#
# A CASE is LEVEL[/LAYOUT]:METADATA:BITMAP:MEMBERS, for example raid1:1.2:none:2 or raid10/f2:1.2:internal:4; case
# number N lies on partition N of the disks vda, vdb, ... On blank disks the arrays are made, else they are assembled
# and the acknowledged writes in the file ACKS looked for. Then all are written to (see writer.py; sequence numbers from
# FIRST). END says how it ends:
#
#   stop      members are made to agree and compared first; after some writes the arrays are stopped
#   settle    the same, but written to until somebody cuts the power
#   rush      nothing is waited for: the power is cut during the resync
#   degrade   as settle, and while it is written one member of each array fails
#
# Lines for the host: `@@writing` when the load has begun, `@@ack ...`, `@@degraded`, `@@stopped`.

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

# create CASE NUMBER
create() {
	local level layout args=() list
	level=$(level_of "$1") layout=$(layout_of "$1")
	mapfile -t list < <(members "$1" "$2")
	[[ -z $layout ]] || args+=(--layout="$layout")
	! is_redundant "$1" || args+=(--bitmap="$(field "$1" 3)")
	# The same name and UUID whoever makes it, so that superblocks can be compared.
	[[ $(field "$1" 2) == 0.90 ]] || args+=(--name="relay$2" --homehost=rmd)
	mdadm --quiet --create /dev/md"$2" --run --level="$level" --metadata="$(field "$1" 2)" --uuid="$(uuid "$2")" \
		--raid-devices="$(field "$1" 4)" "${args[@]}" "${list[@]}"
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

# rest NUMBER: sleeps until no pass runs.
rest() {
	local i
	for ((i = 0; i < 1200; i++)); do
		mdadm --wait /dev/md"$1" || true
		[[ $(cat /sys/block/md"$1"/md/sync_action) != idle ]] || return 0
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
load() { python3 "$WRITER" write "$2" /dev/md"$2" "$FIRST" "$COUNT" & }
stop() { mdadm --quiet --stop /dev/md"$2"; }

# lose CASE NUMBER: the last member fails.
lose() {
	! is_redundant "$1" || mdadm /dev/md"$2" --fail "$(members "$1" "$2" | tail -n 1)"
}

put N $MD_PARAMS/legacy_async_del_gendisk
for limit in speed_limit_min speed_limit_max; do
	echo 1000000 >/proc/sys/dev/raid/$limit
done
[[ $END == rush ]] || CATCH_UP=yes
partitions $# "$SLICE" /dev/vd?
if [[ $(head -c 5 /dev/vda | tr -d '\0') != relay ]]; then
	step "new arrays"
	each create "$@"
	echo relay | dd of=/dev/vda conv=notrunc,fsync status=none
else
	step "assembly"
	each assemble "$@"
	cat /proc/mdstat
	each verify "$@"
fi
if [[ $END != rush ]]; then
	step "agreement"
	each agree "$@"
	[[ ! -e $ACKS ]] || each verify "$@"
fi
step "load"
COUNT=0
[[ $END != stop ]] || COUNT=$WRITES
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
each agree "$@"
each stop "$@"
echo "@@stopped"
