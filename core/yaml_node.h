/* yaml_node: what yaml.c builds and yaml_report.c points at. Private to core/yaml*.c. */
#pragma once
#include "core/yaml.h"

struct yaml_node {
    struct yaml *file;
    const struct yaml_node *parent;
    const struct yaml_node *key; /* of a map's value: its key */
    enum yaml_kind kind;
    bool quoted, is_key;
    struct span text;            /* of a scalar, resolved */
    size_t offset, width;        /* the place in the source, in bytes; quotes included */
    uint32_t line, col;          /* of offset, from 1; the column counts characters */
    size_t index;                /* place in the parent */
    size_t n;                    /* items or pairs */
    struct yaml_node **items;    /* items or values */
    struct yaml_node **keys;     /* of a map */
};

struct yaml {
    struct arena *arena;
    const char *name;
    struct span bytes;
    struct yaml_node *root;
    struct hidden *hidden; /* places whose text no message may show, newest first */
};

struct hidden {
    const struct hidden *next;
    size_t offset, end;
};

/* Adds "file:line:col: message" with the source line, pointing at `width` bytes from `offset`. */
void report_source(struct report *r, const struct yaml *file, size_t offset, size_t width, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
/* Line and column (in characters), from 1, of a byte of the source. */
void yaml_place(const struct yaml *file, size_t offset, uint32_t *ret_line, uint32_t *ret_col);
