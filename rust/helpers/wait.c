// SPDX-License-Identifier: GPL-2.0

#include <linux/wait.h>

bool kernel_ext_wq_has_sleeper(struct wait_queue_head *wq);
bool kernel_ext_wq_has_sleeper(struct wait_queue_head *wq)
{
	return wq_has_sleeper(wq);
}
