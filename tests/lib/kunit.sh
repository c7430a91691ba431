#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# In a guest: loads md_kunit.ko, judges what its suites left in debugfs, and tries what it shows to user space. No case
# at all is a failure.

set -euo pipefail
# shellcheck source=tests/lib/guest.sh
source "$RMD_TOP/tests/lib/guest.sh"

results=/sys/kernel/debug/kunit
insmod "$RMD_BUILD/md_kunit.ko"
cat "$results"/*/results
cat "$results"/*/results | awk '
    /^ +ok [0-9]+ / { passed++ }
    /^ *not ok [0-9]+ / { failed++ }
    END {
        print "rmd-detail: " passed + 0 " cases, " failed + 0 " failed"
        exit !(passed > 0 && failed + 0 == 0)
    }'

step "every suite and every case was run"
# In one program: starting many takes minutes on the debug kernel.
awk -v results="$results" '
    function judge(    file, line, passed, plan) {
        if (suite == "")
            return
        file = results "/" suite "/results"
        while ((getline line <file) > 0) {
            if (line ~ /^ +ok [0-9]+ / && line !~ /SKIP/)
                passed++
            if (line ~ /^ +1\.\./) {
                plan = line
                gsub(/ /, "", plan)
            }
        }
        if (passed != cases || plan != "1.." cases) {
            print suite " has " cases " cases; its plan is " plan ", " passed + 0 " passed"
            wrong = 1
        }
    }
    FNR == 1 { judge(); suite = ""; cases = 0 }
    /^#\[kunit_tests\(.*\)\]$/ { suite = substr($0, 15, length($0) - 16); suites++ }
    /^    #\[test\]$/ { cases++ }
    END { judge(); exit wrong || !suites }' "$RMD_TOP"/kunit/*.rs || fail "not all was run"

step "a disk: openers, ioctls, its geometry, the devices below it"
toy=/sys/block/md_kunit_toy/toy
node=/dev/md_kunit_toy
udevadm settle
[[ -b $node ]] || fail "there is no $node"
same "an ioctl that copies" "56781234" "$(python3 -c '
import fcntl
print(fcntl.ioctl(open("/dev/md_kunit_toy"), 0x6d01, b"12345678").decode())')"
same "from and to nowhere" EFAULT "$(ioctl $node 0x6d01 0)"
same "from a page that is not there" EFAULT "$(ioctl $node 0x6d01 4096)"
same "from the kernel" EFAULT "$(ioctl $node 0x6d01 -4096)"
same "an ioctl that syncs" OK "$(ioctl $node 0x6d02)"
same "an ioctl with a number" OK "$(ioctl $node 0x6d03 77)"
same "the number" 77 "$(cat $toy/number)"
same "an ioctl with too large a number" ERANGE "$(ioctl $node 0x6d03 -1)"
same "an ioctl that nobody knows" ENOTTY "$(ioctl $node 0x6d04)"
same "heads and sectors" "3 7" "$(python3 -c '
import fcntl
geometry = fcntl.ioctl(open("/dev/md_kunit_toy"), 0x301, bytes(16))
print(geometry[0], geometry[1])')"
same "making it read-only" OK "$(errno_of blockdev --setro $node)"
same "making it writable" EROFS "$(errno_of blockdev --setrw $node)"
same "it is read-only" 1 "$(cat /sys/block/md_kunit_toy/ro)"
udevadm settle
same "openers" 0 "$(cat $toy/openers)"
exec 4<$node
same "openers" 1 "$(cat $toy/openers)"
exec 4<&-
same "openers" 0 "$(cat $toy/openers)"
python3 - $node $toy <<-'PYTHON'
	import errno, fcntl, os, sys
	node, toy = sys.argv[1:]
	def refused(path, flags):
	    try:
	        file = os.open(path, flags)
	        os.write(file, b"1") if flags == os.O_WRONLY else os.read(file, 10)
	    except OSError as error:
	        assert error.errno == errno.EBUSY, (path, error)
	        return
	    raise SystemExit("%s: not refused" % path)
	opened = os.open(node, os.O_RDONLY)
	fcntl.ioctl(opened, 0x6d03, 13)
	refused(node, os.O_RDONLY)
	for name in "number", "openers", "below/number":
	    refused(toy + "/" + name, os.O_RDONLY)
	refused(toy + "/number", os.O_WRONLY)
	fcntl.ioctl(opened, 0x6d03, 0)
PYTHON
same "what was written while it was shut" 0 "$(cat $toy/number)"
[[ -L /sys/block/ram2/holders/md_kunit_toy && -L /sys/block/md_kunit_toy/slaves/ram2 ]] || fail "no links of holders"
same "claiming what is below it" EBUSY "$(python3 -c '
import errno, os
try:
    os.open("/dev/ram2", os.O_RDONLY | os.O_EXCL)
except OSError as error:
    print(errno.errorcode[error.errno])')"

step "opening the node of a disk that is not there asks for it"
mknod /tmp/other b "$(cut -d : -f 1 /sys/block/md_kunit_toy/dev)" 5
same "the other" ENXIO "$(errno_of cat /tmp/other)"

step "files of an object"
cd $toy
same "what was asked for" 5 "$(cat probed)"
same "modes" "644 644 444 600" "$(stat -c %a number mute long below/number | paste -s -d ' ')"
takes -5 number
takes 6 below/number
same "both are one" 6 "$(cat number)"
refuses EINVAL six number
refuses EINVAL 2147483648 number
same "a file that cannot be read" EIO "$(errno_of cat mute)"
same "a file that cannot be written" EIO "$(errno_of put 1 mute)"
same "more than a page" 4095 "$(wc -c <long)"
same "a link" "$(realpath /sys/block/md_kunit_toy)" "$(realpath disk)"
python3 - <<-'PYTHON'
	import select
	def told(poll, wait):
	    return any(events & select.POLLPRI for _, events in poll.poll(wait))
	file = open("number")
	file.read()
	poll = select.poll()
	poll.register(file, select.POLLPRI)
	assert not told(poll, 50), "told of nothing"
	with open("below/number", "w") as other:
	    other.write("8")
	assert told(poll, 20000), "not told"
	file.seek(0)
	assert file.read() == "8\n", "not what it was told of"
	assert not told(poll, 50), "told twice"
PYTHON
cd /

step "parameters"
cd /sys/module/md_kunit/parameters
same "modes" "600 600 644 200" "$(stat -c %a number decimal switch command | paste -s -d ' ')"
same "number" 7 "$(cat number)"
takes 0x10 number 16
takes -2147483648 number
refuses ERANGE 2147483648 number
refuses EINVAL ten number
same "decimal" 3 "$(cat decimal)"
takes 8 decimal
refuses EDOM 0x1 decimal
refuses EDOM 10 decimal
takes N switch
takes 1 switch Y
refuses EINVAL perhaps switch
same "a command" OK "$(errno_of put 'one\n' command)"
same "a command that fails" E2BIG "$(errno_of put 'three' command)"

step "a file below /proc"
same "first line" "commands 1 number -2147483648 switch true" "$(head -n 1 /proc/md_kunit)"
same "lines" 1 "$(wc -l </proc/md_kunit)"
takes N switch
same "lines" 2001 "$(wc -l </proc/md_kunit)"
same "in small pieces" "$(cksum </proc/md_kunit)" "$(dd if=/proc/md_kunit bs=7 status=none | cksum)"
python3 - <<-'PYTHON'
	import select
	def told(poll, wait):
	    return any(events & select.POLLPRI for _, events in poll.poll(wait))
	files = [open("/proc/md_kunit") for _ in range(2)]
	polls = []
	for file in files:
	    polls.append(select.poll())
	    polls[-1].register(file, select.POLLPRI)
	    assert not told(polls[-1], 50), "told of nothing"
	with open("/sys/module/md_kunit/parameters/command", "w") as command:
	    command.write("two")
	for file, poll in zip(files, polls):
	    assert told(poll, 20000), "not told"
	    assert told(poll, 0), "not told until it was read"
	    file.seek(0)
	    assert file.readline().startswith("commands 2 "), "not what it was told of"
	    assert not told(poll, 50), "told twice"
PYTHON

step "sysctls"
cd /proc/sys/dev/md_kunit
same "mode" 644 "$(stat -c %a limit)"
same "limit" -3 "$(cat limit)"
takes 12 limit
refuses EINVAL twelve limit

step "a poller does not keep the module, and nothing is left of it"
cd /
python3 -c '
import select
file = open("/proc/md_kunit")
poll = select.poll()
poll.register(file, select.POLLPRI)
print("polls", flush=True)
assert poll.poll(60000), "not sent away"' >/tmp/poller &
poller=$!
for ((i = 0; i < 300; i++)); do
	[[ ! -s /tmp/poller ]] || break
	sleep 0.1
done
udevadm settle
rmmod md_kunit
wait $poller || fail "the poller was not sent away"
for path in /proc/md_kunit /proc/sys/dev/md_kunit /sys/module/md_kunit /sys/block/md_kunit_toy \
	/sys/block/ram2/holders/md_kunit_toy; do
	[[ ! -e $path ]] || fail "$path is left"
done
