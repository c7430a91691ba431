// SPDX-License-Identifier: GPL-2.0

#include <linux/percpu.h>

long __percpu *kernel_ext_alloc_percpu_long(void);
long __percpu *kernel_ext_alloc_percpu_long(void)
{
	return alloc_percpu(long);
}

void kernel_ext_free_percpu(void __percpu *counter);
void kernel_ext_free_percpu(void __percpu *counter)
{
	free_percpu(counter);
}

void kernel_ext_this_cpu_inc(long __percpu *counter);
void kernel_ext_this_cpu_inc(long __percpu *counter)
{
	this_cpu_inc(*counter);
}

/* All earlier accesses of this CPU are done before the decrement shows. */
void kernel_ext_this_cpu_dec_release(long __percpu *counter);
void kernel_ext_this_cpu_dec_release(long __percpu *counter)
{
	smp_mb__before_atomic();
	this_cpu_dec(*counter);
}

long kernel_ext_percpu_sum(long __percpu *counter);
long kernel_ext_percpu_sum(long __percpu *counter)
{
	long sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(*per_cpu_ptr(counter, cpu));
	smp_mb();
	return sum;
}
