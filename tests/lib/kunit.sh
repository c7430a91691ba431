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

step "parameters"
cd /sys/module/md_kunit/parameters
same "modes" "600 644 200" "$(stat -c %a number switch command | paste -s -d ' ')"
same "number" 7 "$(cat number)"
takes 0x10 number 16
takes -2147483648 number
refuses ERANGE 2147483648 number
refuses EINVAL ten number
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
rmmod md_kunit
wait $poller || fail "the poller was not sent away"
for path in /proc/md_kunit /proc/sys/dev/md_kunit /sys/module/md_kunit; do
	[[ ! -e $path ]] || fail "$path is left"
done
