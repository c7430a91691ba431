// SPDX-License-Identifier: GPL-2.0

#include <linux/blk-integrity.h>
#include <linux/blkdev.h>
#include <linux/part_stat.h>

bool kernel_ext_bdev_read_only(struct block_device *bdev);
bool kernel_ext_bdev_read_only(struct block_device *bdev)
{
	return bdev_read_only(bdev);
}

void kernel_ext_queue_limits_start_update(struct request_queue *q, struct queue_limits *out);
void kernel_ext_queue_limits_start_update(struct request_queue *q, struct queue_limits *out)
{
	*out = queue_limits_start_update(q);
}

void kernel_ext_queue_limits_cancel_update(struct request_queue *q);
void kernel_ext_queue_limits_cancel_update(struct request_queue *q)
{
	queue_limits_cancel_update(q);
}

bool kernel_ext_queue_limits_stack_integrity_bdev(struct queue_limits *t, struct block_device *bdev);
bool kernel_ext_queue_limits_stack_integrity_bdev(struct queue_limits *t, struct block_device *bdev)
{
	return queue_limits_stack_integrity_bdev(t, bdev);
}

u64 kernel_ext_bdev_sectors_done(struct block_device *bdev);
u64 kernel_ext_bdev_sectors_done(struct block_device *bdev)
{
	return part_stat_read_accum(bdev, sectors);
}
