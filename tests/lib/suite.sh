#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# In a guest: runs the named scripts of mdadm's suite, one after the other, and prints for each its log between a line
# `@@begin NAME` and a line `@@end NAME RESULT SECONDS`. The kernel's log gets a line `suite: NAME` before each.
# Status 3: after this script the guest is not fit for another (it hangs, or arrays are left); the rest has not run.

set -u
LIMIT=${RMD_SUITE_LIMIT:-600} # seconds a script may take
SUITE=/opt/mdadm-suite
DIR=/var/tmp

# stubs: the suite wants these; what they do is of no interest here.
stubs() {
    local name
    for name in systemctl getenforce setenforce; do
        printf '#!/bin/sh\nexit 0\n' >/usr/local/bin/$name
        chmod +x /usr/local/bin/$name
    done
}

# quiet_udev: leaves the rules for md; the others look at loop devices again and again, which takes most of the time.
quiet_udev() {
    local rules
    mkdir -p /run/udev/rules.d
    for rules in /usr/lib/udev/rules.d/*; do
        case $rules in
        *-md-raid-arrays.rules | *-md-raid-creating.rules | */50-udev-default.rules) ;;
        *) ln -sf /dev/null "/run/udev/rules.d/${rules##*/}" ;;
        esac
    done
    udevadm control --reload
}

# adapt NAME: applies the sed script of tests/suite.list.
adapt() {
    local script
    script=$(awk -F '\t' -v name="$1" '$2 == name { print $3 }' "$RMD_TOP/tests/suite.list")
    [[ -z $script ]] || sed -i -e "$script" "$SUITE/tests/$1"
}

# members: the files behind the suite's loop devices; it would fill them with zeros a KiB a time.
members() {
    local n
    for n in {0..7}; do
        truncate -s 20000K "$DIR/mdtest$n"
    done
}

# result_of STATUS LOGS OUTPUT: a script that finds something missing says so itself, or has the suite say so.
result_of() {
    if grep -qE '\.\.\. [^a-z]*[0-9;]*m?skipping' "$3" || grep -qs '^skipping\.\.\. ' "$2"/*.log; then
        echo skip
    elif (($1 == 0)) && grep -q succeeded "$3"; then
        echo pass
    else
        echo fail
    fi
}

# run NAME: runs one script; sets result.
run() {
    local name=$1 logs=$DIR/logs-$1 out=$DIR/out-$1 pid status waited
    mkdir -p "$logs"
    members
    adapt "$name"
    echo "suite: $name" >/dev/kmsg
    (cd $SUITE && exec timeout -k 10 "$LIMIT" ./test --tests="$name" --no-error --save-logs --logdir="$logs") \
        >"$out" 2>&1 &
    pid=$!
    for ((waited = 0; waited < LIMIT + 30; waited++)); do
        kill -0 $pid 2>/dev/null || break
        sleep 1
    done
    result=hang
    if ! kill -0 $pid 2>/dev/null; then
        status=0
        wait $pid || status=$?
        ((status == 124 || status == 137)) || result=$(result_of $status "$logs" "$out")
    fi
    cat "$out"
    tail -n +1 "$logs"/*.log 2>/dev/null
    if [[ $result == hang ]]; then
        echo w >/proc/sysrq-trigger
        cat /proc/mdstat
        ps axfo pid,stat,wchan:30,args
    fi
}

stubs
quiet_udev
# The large devices are for external metadata; setting them up would take half of the time.
sed -i -E 's/^(\t+for d in 0 1 .* 7) .*13$/\1/' $SUITE/tests/func.sh
modprobe loop max_loop=16
# The suite asks for `linear`, as that module was called before 6.8, and leaves out what it does not find.
modprobe -q md-linear
# The suite takes the devices by these names and does not wait for udev.
udevadm settle
cp /proc/sys/dev/raid/speed_limit_max /proc/sys/dev/raid/speed_limit_min $DIR/

for name in "$@"; do
    start=$SECONDS
    echo "@@begin $name"
    result=
    run "$name"
    echo "@@end $name $result $((SECONDS - start))"
    [[ $result != hang ]] || exit 3
    ! grep -q '^md.* :' /proc/mdstat || exit 3
    for file in speed_limit_max speed_limit_min; do
        cat $DIR/$file >/proc/sys/dev/raid/$file
    done
done
