/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What bindgen reads: headers whose items the kernel crate's own bindings lack, and our helpers.
 * bindgen_parameters names the items that are taken.
 */
#include <linux/badblocks.h>
#include <linux/blkdev.h>
#include <linux/hdreg.h>
#include <linux/proc_fs.h>
#include <linux/reboot.h>
#include <linux/seq_file.h>

#include "../helpers/helpers.c"

/* Macros that bindgen cannot evaluate. */
const blk_status_t kernel_ext_BLK_STS_OK = BLK_STS_OK;
const blk_status_t kernel_ext_BLK_STS_NOTSUPP = BLK_STS_NOTSUPP;
const blk_status_t kernel_ext_BLK_STS_TIMEOUT = BLK_STS_TIMEOUT;
const blk_status_t kernel_ext_BLK_STS_NOSPC = BLK_STS_NOSPC;
const blk_status_t kernel_ext_BLK_STS_TRANSPORT = BLK_STS_TRANSPORT;
const blk_status_t kernel_ext_BLK_STS_TARGET = BLK_STS_TARGET;
const blk_status_t kernel_ext_BLK_STS_MEDIUM = BLK_STS_MEDIUM;
const blk_status_t kernel_ext_BLK_STS_PROTECTION = BLK_STS_PROTECTION;
const blk_status_t kernel_ext_BLK_STS_RESOURCE = BLK_STS_RESOURCE;
const blk_status_t kernel_ext_BLK_STS_IOERR = BLK_STS_IOERR;
const blk_status_t kernel_ext_BLK_STS_AGAIN = BLK_STS_AGAIN;
const blk_status_t kernel_ext_BLK_STS_OFFLINE = BLK_STS_OFFLINE;
const blk_status_t kernel_ext_BLK_STS_INVAL = BLK_STS_INVAL;
const blk_features_t kernel_ext_BLK_FEAT_WRITE_CACHE = BLK_FEAT_WRITE_CACHE;
const blk_features_t kernel_ext_BLK_FEAT_FUA = BLK_FEAT_FUA;
const blk_features_t kernel_ext_BLK_FEAT_IO_STAT = BLK_FEAT_IO_STAT;
const blk_features_t kernel_ext_BLK_FEAT_NOWAIT = BLK_FEAT_NOWAIT;
const blk_features_t kernel_ext_BLK_FEAT_STABLE_WRITES = BLK_FEAT_STABLE_WRITES;
const blk_features_t kernel_ext_BLK_FEAT_PCI_P2PDMA = BLK_FEAT_PCI_P2PDMA;
const blk_features_t kernel_ext_BLK_FEAT_ATOMIC_WRITES = BLK_FEAT_ATOMIC_WRITES;
const blk_features_t kernel_ext_BLK_FEAT_RAID_PARTIAL_STRIPES_EXPENSIVE = BLK_FEAT_RAID_PARTIAL_STRIPES_EXPENSIVE;
const blk_flags_t kernel_ext_BLK_FLAG_WRITE_CACHE_DISABLED = BLK_FLAG_WRITE_CACHE_DISABLED;
const blk_mode_t kernel_ext_BLK_OPEN_READ = BLK_OPEN_READ;
const blk_mode_t kernel_ext_BLK_OPEN_WRITE = BLK_OPEN_WRITE;
const gfp_t kernel_ext_GFP_NOIO = GFP_NOIO;
