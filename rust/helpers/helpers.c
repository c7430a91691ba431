// SPDX-License-Identifier: GPL-2.0
/*
 * Non-inline names for what C headers offer only as macros or inline functions.
 *
 * One file per header, no logic. Everything here is `kernel_ext_` plus the name it stands for.
 */

#include "badblocks.c"
#include "bio.c"
#include "blkdev.c"
#include "list.c"
#include "percpu.c"
#include "percpu_refcount.c"
#include "sched.c"
#include "wait.c"
