/* disk_vfs: SQLite on the disk in memory, so that its operations count, fail, end and are cut like those of the journal.
 *
 * It does on the disk what SQLite's VFS for Unix does on Linux: reads, writes and opens go on after an interrupt; a write that
 * is short goes on; the first sync of a log or journal also syncs its folder, and says nothing where that fails; locks and the
 * index of the write-ahead log (-shm) are memory of this process, gone with the last connection. Making and growing that index
 * counts as an operation that may fail. Otherwise than there, a name that cannot be looked up is an error.
 * A name without a folder lies in /disk. Temporary files without a name are the system's. Checkpoints come every few pages, so
 * that short tests come to them.
 * Threads: one at a time. Life: disk_vfs_new (the default VFS from here) -> connections -> disk_vfs_free, with none left. */
#pragma once
#include "tests/unit/support/disk.h"

struct disk_vfs;
struct disk_vfs *disk_vfs_new(struct disk *d);
void disk_vfs_free(struct disk_vfs **v);
