// SPDX-License-Identifier: GPL-2.0

#include <linux/list.h>

void kernel_ext_list_del(struct list_head *entry);
void kernel_ext_list_del(struct list_head *entry)
{
	list_del(entry);
}
