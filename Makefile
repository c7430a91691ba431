# SPDX-License-Identifier: GPL-2.0
#
# Commands of the project. Kbuild reads the file Kbuild; this one is for people.
#
#   make                 build/stock/md-mod.ko, for Debian's own kernel
#   make K=test          the same for another kernel of the testbed: stock, test, debug
#   KDIR=/path make      build/kdir/md-mod.ko, for a prepared kernel tree of your own (7.2 or newer, CONFIG_RUST=y)
#   make demo            shows the module at work in a virtual machine
#   make test            every test
#   make test-long      the same, and fuzzing, Miri and benchmarks
#   make suite           mdadm's own tests, on the C driver and on ours (S='GROUP|NAME ...' chooses; see tests/suite)
#   make bench           throughput beside the C driver's (ROWS='LEVEL:BITMAP ...' chooses; see tests/bench)
#   make bench-wall      the same on two CPUs by the clock on the wall, for a machine that does nothing else
#   make churn           arrays made, broken, mended and stopped for a while on the debug kernel (T=SECONDS)
#   make profile         where the instructions go: D=c|rust ROW=LEVEL:BITMAP W=WORKLOAD
#   make check           format, lints, rules of the project
#   make vm              a shell in a virtual machine with the module loaded (K=... chooses the kernel)
#   make doc             rustdoc of the three crates, in build/doc
#   make clean           removes build/
#
# What builds and guests need is made on first use and kept in $XDG_CACHE_HOME/rmd or ~/.cache/rmd; `make cache-clean`
# removes what no current file asks for any more.

K ?= stock

ifneq ($(KDIR),)
default: kdir
else
default: module
endif

module:
	@scripts/build-module $(K)

kdir:
	@scripts/build-module --kdir "$(KDIR)"

demo:
	@tests/demo.sh

test:
	@tests/run

test-long:
	@RMD_LONG=1 tests/run

suite:
	@tests/suite $(S)

bench:
	@tests/bench $(ROWS)

bench-wall:
	@tests/bench --wall $(ROWS)

T ?= 600
churn:
	@tests/churn $(T)

D ?= rust
ROW ?= raid1:none
W ?= randwrite
profile:
	@tests/bench --profile $(D) $(ROW) $(W)

check:
	@scripts/check

vm:
	@scripts/vm --kernel $(K)

doc:
	@scripts/doc

clean:
	rm -rf build

cache-clean:
	@scripts/prepare --clean

.PHONY: default module kdir demo test test-long suite bench bench-wall profile churn check vm doc clean cache-clean
