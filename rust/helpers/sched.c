// SPDX-License-Identifier: GPL-2.0

#include <linux/sched/mm.h>
#include <linux/sched/signal.h>

unsigned int kernel_ext_memalloc_noio_save(void);
unsigned int kernel_ext_memalloc_noio_save(void)
{
	return memalloc_noio_save();
}

void kernel_ext_memalloc_noio_restore(unsigned int flags);
void kernel_ext_memalloc_noio_restore(unsigned int flags)
{
	memalloc_noio_restore(flags);
}

void kernel_ext_allow_signal(int sig);
void kernel_ext_allow_signal(int sig)
{
	allow_signal(sig);
}

bool kernel_ext_signal_pending(void);
bool kernel_ext_signal_pending(void)
{
	return signal_pending(current);
}

void kernel_ext_flush_signals(void);
void kernel_ext_flush_signals(void)
{
	flush_signals(current);
}
