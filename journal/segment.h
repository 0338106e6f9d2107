/* segment: the bytes of a journal file, and finding entries in them. Private to journal/; docs/formats.md has the tables.
 * Threads: pure functions, and a struct window that belongs to its reader. */
#pragma once
#include "core/io.h"
#include "journal/entry.h"

#define SEGMENT_HEAD 192
#define ENTRY_HEAD 32
#define SEGMENT_NAME_MAX 32
#define ENTRY_MARK UINT32_C(0x31654c53) /* "SLe1" */

struct segment_head {
    uint64_t first, created_us;
    uint64_t salt; /* seeds the checksums of the entries: nobody can put bytes into a body that look like an entry of ours */
    char node[NODE_MAX], lane[16];
};
void segment_head_encode(const struct segment_head *h, char out[SEGMENT_HEAD]);
bool segment_head_decode(const char in[SEGMENT_HEAD], struct segment_head *ret);
void segment_name(uint64_t first, char out[SEGMENT_NAME_MAX]);
bool segment_name_parse(const char *name, uint64_t *ret_first);

struct entry_head {
    uint32_t length; /* of the fields */
    uint64_t seq, received_us;
};
/* Fills the head that stands at p, before its fields; `whole` is head and fields. */
void entry_head_encode(char *p, size_t whole, uint64_t seq, uint64_t received_us, uint64_t salt);
/* The marker and a length that could be; says nothing of the checksum. */
bool entry_head_decode(const char p[ENTRY_HEAD], struct entry_head *ret);
bool entry_checks(const char *p, size_t whole, uint64_t salt); /* the checksum over head and fields */

/* A file looked at through a buffer that grows to its largest entry. Whole blocks are read into memory that begins at one, so
 * that the file may be open past the page cache. */
struct window {
    const struct io *io;
    int fd;
    char *bytes; /* aligned */
    size_t n, cap;
    uint64_t at;    /* offset in the file of bytes[0] */
    uint64_t salt;  /* of the segment */
    uint64_t limit; /* nothing behind it is looked at: of the segment that is being written, what is durable */
};
void window_init(struct window *w, const struct io *io, int fd, uint64_t salt);
void window_release(struct window *w); /* not the fd */
/* How many bytes from offset on are at hand. */
size_t window_have(const struct window *w, uint64_t offset);
/* *ret borrows n bytes at offset until the next call; *ret_short: the file ends before. */
bool window_get(struct window *w, uint64_t offset, size_t n, const char **ret, bool *ret_short, struct err *err);

enum found { FOUND_ENTRY, FOUND_END /* or zeros alone up to it */, FOUND_DAMAGE };
struct found_entry {
    struct entry_head head;
    const char *fields; /* borrows the window until its next call */
    uint64_t offset;
    uint64_t skipped; /* bytes of damage before it, or before the end */
};
/* The entry at `offset`, or, where that is none, the next good one behind it. FOUND_DAMAGE: bytes, but no entry any more. */
bool segment_find(struct window *w, uint64_t offset, enum found *ret, struct found_entry *e, struct err *err);
