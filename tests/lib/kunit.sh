#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# In a guest: loads md_kunit.ko and judges what its suites left in debugfs. No case at all is a failure.

set -u
results=/sys/kernel/debug/kunit

insmod "$RMD_BUILD/md_kunit.ko" || exit 1
cat "$results"/*/results
cat "$results"/*/results | awk '
    /^ +ok [0-9]+ / { passed++ }
    /^ *not ok [0-9]+ / { failed++ }
    END {
        print "rmd-detail: " passed + 0 " cases, " failed + 0 " failed"
        exit !(passed > 0 && failed + 0 == 0)
    }' || exit 1
rmmod md_kunit
