// SPDX-License-Identifier: GPL-2.0

#include <linux/bio.h>
#include <linux/blkdev.h>
#include <trace/events/block.h>

void kernel_ext_bio_set_dev(struct bio *bio, struct block_device *bdev);
void kernel_ext_bio_set_dev(struct bio *bio, struct block_device *bdev)
{
	bio_set_dev(bio, bdev);
}

void kernel_ext_bio_clone_blkg_association(struct bio *dst, struct bio *src);
void kernel_ext_bio_clone_blkg_association(struct bio *dst, struct bio *src)
{
	bio_clone_blkg_association(dst, src);
}

void kernel_ext_bio_inc_remaining(struct bio *bio);
void kernel_ext_bio_inc_remaining(struct bio *bio)
{
	bio_inc_remaining(bio);
}

/* block_bio_remap and submit_bio_noacct: every remapping driver calls the two together. */
void kernel_ext_submit_bio_remapped(struct bio *bio, dev_t from_dev, sector_t from);
void kernel_ext_submit_bio_remapped(struct bio *bio, dev_t from_dev, sector_t from)
{
	trace_block_bio_remap(bio, from_dev, from);
	submit_bio_noacct(bio);
}
