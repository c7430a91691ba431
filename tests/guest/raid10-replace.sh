#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# vm: --smp 2 --disk a:40M --disk b:40M --disk c:40M --disk d:40M
#
# replace.sh on a raid10.
exec "$(dirname "$0")/replace.sh" 10
