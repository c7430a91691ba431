#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# kernels: test
#
# garbage.sh [--record]: garbage to all that takes text or numbers from user space (tests/lib/garbage.py): the same
# errno as from the C driver, nothing changed by a refusal, and what is taken reads back as the same. What differs on
# purpose is in tests/garbage.known, and only that.
#
# What the C driver says is tests/golden/garbage.tsv, from the test kernel, as Debian's has less of the C driver;
# --record has it say that again, and RMD_LONG=1 looks whether it still does.

set -euo pipefail

top=$(cd "$(dirname "$0")/../.." && pwd -P)
logs=$top/build/logs
known=$top/tests/garbage.known
recorded=$top/tests/golden/garbage.tsv
mkdir -p "$logs"

# answers KERNEL DRIVER
answers() {
    "$top/scripts/vm" --kernel "$1" --driver "$2" --smp 1 --timeout 900 "$top/tests/lib/garbage.sh" \
        >"$logs/garbage-$2.out"
    grep -aP '^[^\t]+\t[^\t]*\t' "$logs/garbage-$2.out" >"$logs/garbage-$2.tsv"
}

if [[ ${1:-} == --record ]]; then
    answers test c
    cp "$logs/garbage-c.tsv" "$recorded"
elif [[ -n ${RMD_LONG:-} ]]; then
    answers test c
    diff "$recorded" "$logs/garbage-c.tsv" || { echo "C does not say what is recorded of it"; exit 1; }
fi
answers stock rust
lines=$(wc -l <"$logs/garbage-rust.tsv")
echo "rmd-detail: $lines tries"
((lines > 5000)) || { echo "only $lines tries"; exit 1; }

failed=0
if grep -P '\tE[A-Z0-9]+ changed|\tchanged ' "$logs/garbage-rust.tsv"; then
    echo '^ refused, and something has changed'
    failed=1
fi
awk -F '\t' '
    FILENAME ~ /known$/ {
        if (NF != 4 || /^#/) next
        rule[++rules] = $0
        for (i = 1; i <= 4; i++) part[rules, i] = "^(" $i ")$"
        next
    }
    FILENAME ~ /golden/ { c[$1 FS $2] = $3; next }
    { ours[$1 FS $2] = 1 }
    !(($1 FS $2) in c) { print "C says nothing of: " $1 "\t" $2; bad = 1; next }
    c[$1 FS $2] != $3 {
        theirs = c[$1 FS $2]
        for (i = 1; i <= rules; i++) {
            if ($1 !~ part[i, 1] || $2 !~ part[i, 2] || theirs !~ part[i, 3] || $3 !~ part[i, 4]) continue
            used[i] = 1
            next
        }
        print "differs: " $1 "\t" $2 "\tC " theirs "\tours " $3
        bad = 1
    }
    END {
        for (key in c) if (!(key in ours)) { print "ours says nothing of: " key; bad = 1 }
        for (i = 1; i <= rules; i++) if (!used[i]) { print "no such difference any more: " rule[i]; bad = 1 }
        exit bad
    }
' "$known" "$recorded" "$logs/garbage-rust.tsv" || failed=1
exit $failed
