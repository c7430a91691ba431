#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# vm: --smp 2 --disk a:160M --disk b:160M --disk c:160M
#
# mirror-errors.sh on a raid10.
exec "$(dirname "$0")/mirror-errors.sh" 10
