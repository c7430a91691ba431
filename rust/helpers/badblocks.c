// SPDX-License-Identifier: GPL-2.0

#include <linux/badblocks.h>
#include <linux/minmax.h>
#include <linux/seqlock.h>

/* A consistent copy of the list; what was changed before it counts as seen. */
int kernel_ext_badblocks_copy(struct badblocks *bb, u64 *out, int max);
int kernel_ext_badblocks_copy(struct badblocks *bb, u64 *out, int max)
{
	unsigned int seq;
	int i, n;

	do {
		seq = read_seqbegin(&bb->lock);
		n = min(bb->count, max);
		for (i = 0; i < n; i++)
			out[i] = bb->page[i];
		bb->changed = 0;
	} while (read_seqretry(&bb->lock, seq));
	return n;
}
