#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# vm: --smp 2 --disk a:40M --disk b:40M --disk c:40M --disk d:40M
#
# Members are replaced while the array stays complete: by --replace, with a spare of choice, over a stop, and when the
# member fails in the middle; and the words of dev-X/state.
set -euo pipefail
# shellcheck source=tests/lib/guest.sh
source "$(dirname "$0")/../lib/guest.sh"

put N $MD_PARAMS/legacy_async_del_gendisk
MD=/sys/block/md0/md
LEVEL=${1-1}

# sum: a checksum of the array's data, read from media.
sum() { dd if=/dev/md0 bs=1M iflag=direct status=none | sha256sum | cut -d' ' -f1; }

# slow, fast: how fast a pass goes.
slow() {
	put 200 $MD/sync_speed_max
	put 100 $MD/sync_speed_min
}
fast() {
	put system $MD/sync_speed_max
	put system $MD/sync_speed_min
}

# complete SLOT DEVICE: waits until the device has the slot, and checks that the array says so.
complete() {
	becomes "slot of $2" "$1" "$MD/dev-$2/slot"
	becomes "state of $2" in_sync "$MD/dev-$2/state"
	grep -qF '[2/2] [UU]' /proc/mdstat || fail "$(cat /proc/mdstat)"
	same "rd$1" "dev-$2" "$(basename "$(readlink "$MD/rd$1")")"
}

mdadm --create /dev/md0 --run --assume-clean --bitmap=none --level="$LEVEL" --size=32M \
	--raid-devices=2 /dev/vda /dev/vdb
dd if=/dev/urandom of=/dev/md0 bs=1M oflag=direct status=none 2>/dev/null || true
want=$(sum)

step "the spare that came last replaces a member that works"
mdadm --quiet /dev/md0 --add /dev/vdc --add /dev/vdd
same "state of vdd" spare "$(cat $MD/dev-vdd/state)"
slow
mdadm --quiet /dev/md0 --replace /dev/vda
becomes "state of vdd" spare,replacement $MD/dev-vdd/state
same "slot of vdd" 0 "$(cat $MD/dev-vdd/slot)"
same "slot of vdc" none "$(cat $MD/dev-vdc/slot)"
same "state of vda" in_sync,want_replacement "$(cat $MD/dev-vda/state)"
same "degraded" 0 "$(cat $MD/degraded)"
grep -q 'vdd\[[0-9]*\](R)' /proc/mdstat || fail "$(cat /proc/mdstat)"
becomes "sync_action" recover $MD/sync_action

step "which goes on after a stop"
mdadm --quiet --stop /dev/md0
mdadm --quiet --assemble /dev/md0 /dev/vda /dev/vdb /dev/vdc /dev/vdd
grep -q 'vdd\[[0-9]*\](R)' /proc/mdstat || fail "$(cat /proc/mdstat)"
same "degraded" 0 "$(cat $MD/degraded)"
fast
complete 0 vdd
same "state of vda" faulty "$(cat $MD/dev-vda/state)"
same "slot of vda" none "$(cat $MD/dev-vda/slot)"
same "degraded" 0 "$(cat $MD/degraded)"
mdadm --examine /dev/vdd | grep -q 'Active device 0' || fail "$(mdadm --examine /dev/vdd)"
mdadm --quiet /dev/md0 --remove /dev/vda
same "the data" "$want" "$(sum)"

step "a member that fails in the middle leaves its slot to its replacement"
put frozen $MD/sync_action
mdadm --quiet --zero-superblock /dev/vda
mdadm --quiet /dev/md0 --add /dev/vda
slow
mdadm --quiet /dev/md0 --replace /dev/vdb --with /dev/vdc
put idle $MD/sync_action
becomes "state of vdc" spare,replacement $MD/dev-vdc/state
becomes "sync_action" recover $MD/sync_action
mdadm --quiet /dev/md0 --fail /dev/vdb
becomes "state of vdc" spare $MD/dev-vdc/state
same "degraded" 1 "$(cat $MD/degraded)"
fast
complete 1 vdc
mdadm --quiet /dev/md0 --remove /dev/vdb
same "slot of vda" none "$(cat $MD/dev-vda/slot)"
same "the data" "$want" "$(sum)"
mdadm --quiet --stop /dev/md0
mdadm --quiet --assemble /dev/md0 /dev/vda /dev/vdc /dev/vdd
complete 0 vdd
complete 1 vdc
same "the data" "$want" "$(sum)"

step "words of state"
state=$MD/dev-vdc/state
for word in write_error blocked failfast; do
	put $word $state
	same "after $word" in_sync,$word "$(cat $state)"
	put -$word $state
	same "after -$word" in_sync "$(cat $state)"
done
put writemostly $state
same "after writemostly" in_sync,write_mostly "$(cat $state)"
mdadm --examine /dev/vdc | grep -q write-mostly || fail "write-mostly is not recorded"
put -writemostly $state
refuses EBUSY replacement $state
refuses EBUSY -replacement $state
refuses EBUSY re-add $state
refuses EINVAL external_bbl $state
refuses EINVAL want $state
put want_replacement $MD/dev-vda/state
same "a spare is not replaced" spare "$(cat $MD/dev-vda/state)"
put want_replacement $state
becomes "slot of vda" 1 $MD/dev-vda/slot
complete 1 vda
same "the data" "$want" "$(sum)"

step "what was replaced comes back as a spare"
put re-add $state
becomes "state of vdc" spare $state
refuses EBUSY 0 $MD/dev-vdd/slot
refuses EEXIST 0 $MD/dev-vdc/slot
refuses ENOSPC 7 $MD/dev-vdc/slot
refuses EEXIST none $MD/dev-vdc/slot

step "and gets all that it missed, which no bitmap remembers"
mdadm --quiet --grow /dev/md0 --bitmap=internal
put 1 $MD/bitmap/time_base
dd if=/dev/urandom of=/dev/md0 bs=1M oflag=direct status=none 2>/dev/null || true
want=$(sum)
await "bits that are set" 0 bits_set /dev/vdd
mdadm --quiet /dev/md0 --fail /dev/vda
complete 1 vdc
put check $MD/sync_action
idle
same "mismatches" 0 "$(cat $MD/mismatch_cnt)"
same "the data" "$want" "$(sum)"
mdadm --quiet --stop /dev/md0

if [[ $LEVEL == 10 ]]; then
	step "what gets another slot than it had gets all that belongs there"
	mdadm --quiet --zero-superblock /dev/vd{a,b,c,d}
	mdadm --create /dev/md0 --run --assume-clean --bitmap=internal --level=10 --layout=n2 --size=32M \
		--raid-devices=4 /dev/vd{a,b,c,d}
	dd if=/dev/urandom of=/dev/md0 bs=1M oflag=direct status=none 2>/dev/null || true
	want=$(sum)
	put frozen $MD/sync_action
	mdadm --quiet /dev/md0 --fail /dev/vda --fail /dev/vdc --remove /dev/vdc
	put none $MD/dev-vda/slot
	put re-add $MD/dev-vda/state
	put 2 $MD/dev-vda/slot
	put idle $MD/sync_action
	becomes "state of vda" in_sync $MD/dev-vda/state
	same "slot of vda" 2 "$(cat $MD/dev-vda/slot)"
	mdadm --quiet --zero-superblock /dev/vdc
	mdadm --quiet /dev/md0 --add /dev/vdc
	becomes "state of vdc" in_sync $MD/dev-vdc/state
	put check $MD/sync_action
	idle
	same "mismatches" 0 "$(cat $MD/mismatch_cnt)"
	same "the data" "$want" "$(sum)"
	mdadm --quiet --stop /dev/md0
fi
rmmod md_mod
