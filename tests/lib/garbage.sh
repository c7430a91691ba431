#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# In a guest, with either driver: garbage to everything that takes text or numbers from user space. Prints what came of
# each, one line each, to be compared with what the other driver says.

udevadm control --stop-exec-queue
exec python3 "$RMD_TOP/tests/lib/garbage.py"
