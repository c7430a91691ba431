#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# vm: --driver none
#
# Where the C driver is: ours does not load, says why in one line, and the C driver's arrays go on.
set -euo pipefail
# shellcheck source=tests/lib/guest.sh
source "$(dirname "$0")/../lib/guest.sh"

# What modprobe may load is ours to say here.
rm /etc/modprobe.d/rmd.conf
modprobe brd rd_nr=2 rd_size=16384
for dependency in $(modinfo -F depends "$RMD_MODULE" | tr , ' '); do
	modprobe "$dependency"
done

# load MODULE: prints OK, or the name of the errno of insmod.
load() { errno_of insmod "$1"; }

step "the C driver runs an array"
modprobe md_mod
modprobe raid1
put N $MD_PARAMS/legacy_async_del_gendisk
mdadm --quiet --create /dev/md0 --run --assume-clean --level=1 --raid-devices=2 --bitmap=none /dev/ram0 /dev/ram1
fio --name=load --filename=/dev/md0 --rw=randwrite --bs=4k --size=8M --ioengine=libaio --iodepth=8 --direct=1 \
	--time_based --runtime=5 --verify=crc32c --verify_fatal=1 --verify_state_save=0 --output-format=terse >/tmp/fio &
writer=$!
for _ in 1 2 3; do
	same "insmod beside the C driver" EEXIST "$(load "$RMD_MODULE")"
	sleep 1
done
wait $writer || fail "fio failed: $(cat /tmp/fio)"
grep -q '^md0 : active raid1 ram1\[1\] ram0\[0\]' /proc/mdstat || fail "mdstat: $(cat /proc/mdstat)"
grep -qF '[2/2] [UU]' /proc/mdstat || fail "mdstat: $(cat /proc/mdstat)"
mdadm --quiet --stop /dev/md0
rmmod raid1 md_mod

step "a driver of another name has the major number: one line, and nothing of ours is left"
# The C driver under another name, without its signature, which would be wrong now.
file=$(modinfo -n md_mod)
case $file in
*.xz) xz -dc "$file" ;;
*.zst) zstd -qdc "$file" ;;
*) cat "$file" ;;
esac >/tmp/c.ko
python3 - <<-'PYTHON'
	module = open("/tmp/c.ko", "rb").read()
	module = module.replace(b"md_mod", b"md_cod").replace(b"~Module signature appended~\n", b"")
	open("/tmp/c.ko", "wb").write(module)
PYTHON
insmod /tmp/c.ko
dmesg --clear
for _ in 1 2 3; do
	same "insmod beside a driver with its major number" EBUSY "$(load "$RMD_MODULE")"
done
same "lines of ours" 3 "$(dmesg | grep -c 'md_mod: major 9 is taken: is the C md driver loaded?')"
same "other lines of ours" 0 "$(dmesg | grep 'md_mod:' | grep -cvE 'major 9 is taken|taint')"
[[ ! -e /sys/module/md_mod ]] || fail "the module is left"
same "majors mdp" 1 "$(grep -c ' mdp$' /proc/devices)"
# What is there is the C driver's, and works.
grep -q '^Personalities' /proc/mdstat || fail "no mdstat"
put md5 /sys/module/md_cod/parameters/new_array
[[ -d /sys/block/md5/md ]] || fail "the C driver makes no array"
put clear /sys/block/md5/md/array_state
settled
rmmod md_cod

step "without it ours loads"
insmod "$RMD_MODULE"
new_array md6
settled
put clear /sys/block/md6/md/array_state
rmmod md_mod
