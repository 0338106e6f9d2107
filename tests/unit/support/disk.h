/* disk: a disk in memory behind struct io, whose operations can fail, whose process can end at any of them, and whose power can
 * be cut: then what was not synced is dropped, kept, or torn at sectors, in any mix.
 *
 * As on Linux: a file's bytes are durable after its sync, its name after a sync of its folder; a sync that failed may have lost
 * what it was to write, and the next one says that all is well.
 * Clocks move by a microsecond a look; sleeping moves them, and takes no time. Random bytes come from the seed.
 * Threads: any. Life: disk_new -> … -> disk_free (complains of files that were left open). */
#pragma once
#include "core/io.h"

enum disk_fault {
    DISK_EIO,    /* a write may have written a part, a sync may have lost what it was to write */
    DISK_ENOSPC,
    DISK_SHORT,  /* of a write, half is written and told; others fail with EIO */
    DISK_EINTR,
    DISK_END,    /* the process ends: nothing that comes after has any effect, everything fails */
};
struct disk;
struct disk *disk_new(uint64_t seed);
void disk_free(struct disk **d);
const struct io *disk_io(struct disk *d);

/* Counts from here: the n-th operation (from 1) fails, alone or with all that follow. n 0: none. */
void disk_fail_at(struct disk *d, uint64_t n, enum disk_fault fault, bool all_after);
bool disk_failed(const struct disk *d); /* whether it came to that since */
uint64_t disk_operations(const struct disk *d);
/* The machine after its process ended: descriptors are gone, what was written is there. */
void disk_restart(struct disk *d);
/* The machine after a power cut: as restart, with what was not synced dropped, kept or torn. */
void disk_cut_power(struct disk *d);

/* Beside struct io, for what writes at an offset, and for an operation that leaves nothing on the platter. */
ssize_t disk_write_at(struct disk *d, int fd, const void *p, size_t n, uint64_t offset);
int disk_operation(struct disk *d); /* 0 or -errno */

void disk_set_free(struct disk *d, uint64_t bytes); /* what free_bytes says */
void disk_flip(struct disk *d, const char *path, uint64_t offset, unsigned char mask);
void disk_shorten(struct disk *d, const char *path, uint64_t n);
int64_t disk_size(struct disk *d, const char *path); /* -1: not there */
/* Another disk with the same files, as cp -r makes them: other inodes. */
struct disk *disk_copy(const struct disk *d, uint64_t seed);
size_t disk_names(const struct disk *d, const char *suffix, const char *ret[], size_t max); /* sorted; borrow the disk */
