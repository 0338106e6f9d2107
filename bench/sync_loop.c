/* sync_loop: the ceiling of the disk: write and fdatasync in a loop, in a folder, as the journal's files grow. Prints JSON. */
#include "bench/measure.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int begin_file(const char *dir, char *path, size_t path_n)
{
    if ((size_t)snprintf(path, path_n, "%s/sync_loop.XXXXXX", dir) >= path_n)
        die("%s is too long", dir);
    int fd = mkostemp(path, O_APPEND | O_CLOEXEC);
    if (fd < 0)
        die("cannot create a file in %s", dir);
    return fd;
}

static void write_all(int fd, const char *p, size_t n)
{
    while (n) {
        ssize_t k = write(fd, p, n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            die("write failed");
        p += k;
        n -= (size_t)k;
    }
}

int main(int argc, char **argv)
{
    const char *dir = NULL;
    uint64_t bytes = 4096, ms = 1000, segment = UINT64_C(64) << 20;
    const struct bench_option options[] = {
        {"dir", &dir, NULL, NULL, "folder on the disk that is measured"},
        {"bytes", NULL, &bytes, NULL, "of each write (4096)"},
        {"ms", NULL, &ms, NULL, "how long (1000)"},
        {"segment", NULL, &segment, NULL, "a new file begins at this size (67108864)"},
        {NULL, NULL, NULL, NULL, NULL},
    };
    bench_options(argc, argv, "write and fdatasync in a loop", options);
    char path[4096], *block = bytes ? malloc(bytes) : NULL;
    if (!dir || !block || !ms) {
        fprintf(stderr, "sync_loop: --dir is needed, --bytes and --ms must not be 0 (--help)\n");
        return 2;
    }
    for (size_t i = 0; i < bytes; i++)
        block[i] = (char)(i * 2654435761u >> 13); /* nothing that a disk could make smaller */
    static struct latencies syncs;
    int fd = begin_file(dir, path, sizeof path);
    uint64_t begin = now_ns(), end = begin + ms * 1000000, size = 0, n = 0, over = begin;
    while (over < end) {
        if (size && size + bytes > segment) {
            close(fd);
            unlink(path);
            fd = begin_file(dir, path, sizeof path);
            size = 0;
        }
        write_all(fd, block, bytes);
        uint64_t before = now_ns();
        if (fdatasync(fd) != 0)
            die("fdatasync failed");
        over = now_ns();
        latencies_add(&syncs, over - before);
        size += bytes;
        n++;
    }
    close(fd);
    unlink(path);
    double seconds = (double)(over - begin) / 1e9;
    printf("{\"bytes\": %llu, \"syncs\": %llu, \"seconds\": %.4f, \"syncs_per_second\": %.1f, \"bytes_per_second\": %.0f, ",
           (unsigned long long)bytes, (unsigned long long)n, seconds, (double)n / seconds, (double)(n * bytes) / seconds);
    latencies_print(&syncs);
    printf("}\n");
    free(block);
    return 0;
}
