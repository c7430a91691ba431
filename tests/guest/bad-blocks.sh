#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# vm: --smp 2 --disk a:64M --disk b:64M
#
# The bad-block log of a member: shown, set, recorded, found again by an assembly; added and removed by mdadm.
set -euo pipefail
# shellcheck source=tests/lib/guest.sh
source "$(dirname "$0")/../lib/guest.sh"

put N $MD_PARAMS/legacy_async_del_gendisk
MD=/sys/block/md0/md

# recorded DEVICE: what mdadm finds in the log of a member: lines of sector and length.
recorded() { mdadm --examine-badblocks "$1" | awk '/for .* sectors/ { print $1, $3 }'; }

# assemble [OPTION]...: puts the array together again.
assemble() { mdadm --quiet --assemble /dev/md0 "$@" /dev/vda /dev/vdb; }

for metadata in 1.2 1.0; do
	step "a list that is recorded and found again, metadata $metadata"
	mdadm --create /dev/md0 --run --assume-clean --metadata=$metadata --bitmap=none --level=1 --raid-devices=2 \
		/dev/vda /dev/vdb
	offset=$(cat $MD/dev-vda/offset)
	bad=$((offset + 4096))
	same "bad_blocks" "" "$(cat $MD/dev-vda/bad_blocks)"
	put "$bad 8" $MD/dev-vda/bad_blocks
	same "bad_blocks" "$bad 8" "$(cat $MD/dev-vda/bad_blocks)"
	same "unacknowledged_bad_blocks" "" "$(cat $MD/dev-vda/unacknowledged_bad_blocks)"
	if [[ $RMD_DRIVER == rust ]]; then
		# C records it with the next superblock only.
		same "the log" "$bad 8" "$(recorded /dev/vda)"
		same "the state" in_sync "$(cat $MD/dev-vda/state)"
	fi
	mdadm --quiet --stop /dev/md0
	same "the log" "$bad 8" "$(recorded /dev/vda)"
	same "the log of the other" "" "$(recorded /dev/vdb)"
	assemble
	same "bad_blocks" "$bad 8" "$(cat $MD/dev-vda/bad_blocks)"

	step "one that is not recorded yet shows, and is recorded with the next superblocks"
	put "$((bad + 100)) 1" $MD/dev-vda/unacknowledged_bad_blocks
	same "unacknowledged_bad_blocks" "$((bad + 100)) 1" "$(cat $MD/dev-vda/unacknowledged_bad_blocks)"
	same "state" "faulty,in_sync,blocked" "$(cat $MD/dev-vda/state)"
	put clean $MD/array_state
	mdadm --quiet --stop /dev/md0
	same "the log" "$bad 8 $((bad + 100)) 1" "$(recorded /dev/vda | xargs)"
	assemble
	same "unacknowledged_bad_blocks" "" "$(cat $MD/dev-vda/unacknowledged_bad_blocks)"

	step "what makes no sense is refused"
	for text in x 8 "8 0" "8 -1" "8 x" "8 8 8"; do
		[[ $RMD_DRIVER == c && $text == "8 8 8" ]] || refuses EINVAL "$text" $MD/dev-vdb/bad_blocks
	done
	if [[ $RMD_DRIVER == rust ]]; then
		# C takes it for sector 1.
		refuses EINVAL "18446744073709551617 8" $MD/dev-vdb/bad_blocks
	fi

	step "mdadm takes the log away and brings it back"
	mdadm --quiet --stop /dev/md0
	assemble --update=no-bbl 2>/dev/null || true
	same "the log" "$bad 8 $((bad + 100)) 1" "$(recorded /dev/vda | xargs)"
	mdadm --quiet --stop /dev/md0 2>/dev/null || true
	assemble --update=force-no-bbl
	same "bad_blocks" "" "$(cat $MD/dev-vda/bad_blocks)"
	refuses ENOSPC "$bad 8" $MD/dev-vda/bad_blocks
	mdadm --quiet --stop /dev/md0
	assemble --update=bbl
	put "$bad 8" $MD/dev-vda/bad_blocks
	same "bad_blocks" "$bad 8" "$(cat $MD/dev-vda/bad_blocks)"
	mdadm --quiet --stop /dev/md0
	mdadm --quiet --zero-superblock /dev/vda /dev/vdb
done
