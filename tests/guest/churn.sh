#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# vm: --smp 2
#
# Each kind of redundant array through its life once, under load: what a member, a bitmap or a pass leaves behind.
exec "$(dirname "$0")/../lib/churn.sh" 1
