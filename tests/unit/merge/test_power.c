/* The merge, tried at every operation on the store and on the target: whatever fails, wherever the process ends or the power is
 * cut, after the next pass the tables are those of a merge that nothing disturbed, row for row, and each object is written down
 * once. A pass that says that it is done has merged everything.
 *
 * EVERY=1 tries every operation; without it some are left out, other ones each time. */
#include "staged.h"
#include "tests/unit/check_main.h"
#include "tests/unit/support/disk_vfs.h"

#define BATCHES 3
#define ROWS 14 /* of each object */

enum ending { ENDS, CUT, CUT_TWICE };
struct plan {
    const char *what;
    enum disk_fault fault;
    bool all_after;
    enum ending ending;
};
static const struct plan plans[] = {
    {"EIO", DISK_EIO, false, ENDS},
    {"no space", DISK_ENOSPC, false, ENDS},
    {"a short write", DISK_SHORT, false, ENDS},
    {"an interrupt", DISK_EINTR, false, ENDS},
    {"EIO from then on", DISK_EIO, true, ENDS},
    {"no space from then on", DISK_ENOSPC, true, ENDS},
    {"the process ended", DISK_END, false, ENDS},
    {"the power was cut", DISK_END, false, CUT},
    {"the power was cut, and again while it recovered", DISK_END, false, CUT_TWICE},
    {"EIO, and the power was cut later", DISK_EIO, false, CUT},
};

/* After a failure: which run it was. */
static char trying[160];
static void tell(void)
{
    if (*trying)
        printf("it failed with %s\n", trying);
    *trying = 0;
}

struct run {
    struct disk *disk;
    struct disk_vfs *vfs;
    struct staged s;
    struct table_rule rules[2];
    int64_t objects;
};

/* The lock file is the system's, in a folder of the test's own; the target of this name is on the disk. */
static void run_open(struct run *r, uint64_t seed)
{
    *r = (struct run){.disk = disk_new(seed)};
    r->vfs = disk_vfs_new(r->disk);
    world_init(&r->s.w);
    ck_assert_int_eq(chdir(r->s.w.dir), 0);
    snprintf(r->s.w.path, sizeof(r->s.w.path), "tables.db");
    staged_configure(&r->s, disk_io(r->disk), "/disk");
    r->rules[0] = r->rules[1] = r->s.w.rule;
    r->rules[1].name = "refunds";
    r->s.w.manifest.tables = r->rules;
    r->s.w.manifest.n_tables = 2;
}

static void run_close(struct run *r)
{
    store_close(&r->s.store);
    disk_vfs_free(&r->vfs);
    disk_free(&r->disk);
    ck_assert_int_eq(chdir("/"), 0);
    check_dir_remove(r->s.w.dir);
}

/* A batch of objects of both tables and lanes: rows in all shapes, deletes, new columns, a line that is none. */
static void write_batch(struct run *r, unsigned batch)
{
    static const char *const lanes[] = {"events", "backfill"};
    char name[STORE_KEY_MAX], key[32], version[16], json[96];
    for (unsigned o = 0; o < 4; o++) {
        struct buf text = {0};
        r->s.w.rule.name = r->rules[o / 2].name;
        for (unsigned i = 0; i < ROWS; i++) {
            unsigned n = (batch * 4 + o) * ROWS + i;
            snprintf(key, sizeof(key), "{\"id\":%u}", n * 7919u % 13u);
            snprintf(version, sizeof(version), "%08u", n * 2654435761u % 9973u);
            snprintf(json, sizeof(json), "{\"n\":%u,\"o%u\":%u,\"pad\":\"%0*u\"}", n, batch, o, (int)(n % 40), n);
            struct put p = {.op = n % 5 ? ROW_UPSERT : ROW_DELETE, .shape = o % 2 ? SHAPE_FULL : (enum shape)(n % SHAPE_COUNT),
                            .origin = o % 2 ? ORIGIN_BACKFILL : ORIGIN_WEBHOOK, .key = key, .version = version,
                            .observed = (int)(n % 97), .row = n % 5 ? json : NULL};
            struct row row = row_of(&r->s.w, &p);
            row_write(&text, &row);
        }
        buf_addz(&text, o == 3 ? "no row\n" : "");
        object_key(r->s.w.rule.name, lanes[o % 2], batch * 10 + 1, name);
        staged_write(&r->s, name, buf_span(&text), 0);
        r->objects++;
        buf_release(&text);
    }
}

/* One process: a pass, and one more where that failed, as merger_run does. */
static bool live(struct run *r, struct err *err)
{
    struct staged *s = &r->s;
    struct merger_opts o = {.config = &s->config, .store = s->store, .io = s->io};
    bool ok = merger_new(&o, &s->merger, err) && (staged_pass(s, err) || staged_pass(s, err));
    merger_free(&s->merger);
    return ok;
}

static void dump(struct run *r, struct buf *out)
{
    static const char *const sqls[] = {
        "SELECT * FROM acme_orders ORDER BY id",
        "SELECT * FROM acme_refunds ORDER BY id",
        "SELECT _sluice_shape, id, _sluice_version, _sluice_live, _sluice_deleted_at FROM _sluice_acme_orders ORDER BY 2, 1",
        "SELECT _sluice_shape, id, _sluice_version, _sluice_live, _sluice_deleted_at FROM _sluice_acme_refunds ORDER BY 2, 1",
        "SELECT source, \"table\", objects, rows, rejected, live, dead, newest_us, inserted - deleted AS there,"
        " inserted + updated + deleted + kept_out AS every FROM _sluice_counts ORDER BY 1, 2",
        "SELECT object, rows FROM _sluice_inputs ORDER BY object",
        "SELECT object, line, reason FROM _sluice_rejected ORDER BY object, line",
        "PRAGMA integrity_check",
    };
    for (int i = 0; i < CHECK_ROWS(sqls); i++)
        query(&r->s.w, sqls[i], out);
}

static void expected(struct buf *out)
{
    struct run r;
    struct err err = {0};
    run_open(&r, 1);
    for (unsigned b = 0; b < BATCHES; b++)
        write_batch(&r, b);
    ck_assert_msg(live(&r, &err), "%s", err.msg);
    dump(&r, out);
    run_close(&r);
}

static void check_tables(struct run *r, const struct buf *want)
{
    struct buf got = {0};
    dump(r, &got);
    bool same = span_eq(buf_span(&got), buf_span(want));
    if (!same)
        fprintf(stderr, "the tables are\n%s\nand should be\n%.*s\n", buf_z(&got), SPAN_ARG(buf_span(want)));
    ck_assert_msg(same, "%s: the tables are others", trying);
    buf_release(&got);
}

static void check_done(struct run *r)
{
    struct db db;
    struct err err = {0};
    int64_t inputs = 0;
    disk_fail_at(r->disk, 0, DISK_EIO, false);
    ck_assert_msg(db_open_readonly(&db, r->s.w.path, &err), "%s: %s", trying, err.msg);
    ck_assert_msg(db_int(&db, &inputs, -1, &err, "SELECT count(*) FROM _sluice_inputs", ""), "%s: %s", trying, err.msg);
    ck_assert_msg(inputs == r->objects, "%s: a pass was done with %lld of %lld objects", trying, (long long)inputs,
                  (long long)r->objects);
    db_close(&db);
}

/* A first life, a second one whose n-th operation fails, and one that must go well. false: it came to no fault. */
static bool try_at(const struct plan *p, uint64_t n, uint64_t seed, const struct buf *want)
{
    struct run r;
    struct err err = {0};
    uint64_t random = seed;
    run_open(&r, seed);
    snprintf(trying, sizeof(trying), "%s at operation %llu, seed %llu", p->what, (unsigned long long)n,
             (unsigned long long)seed);
    write_batch(&r, 0);
    if (check_random(&random) % 2) /* every other run begins with a target that is there */
        ck_assert_msg(live(&r, &err), "%s", err.msg);
    write_batch(&r, 1);
    disk_fail_at(r.disk, n, p->fault, p->all_after);
    bool ok = live(&r, &err), failed = disk_failed(r.disk);
    ck_assert_msg(ok || failed, "%s: %s", trying, err.msg);
    if (ok && p->fault != DISK_END)
        check_done(&r);
    if (p->ending == CUT_TWICE) {
        disk_cut_power(r.disk);
        disk_fail_at(r.disk, 1 + check_random(&random) % 200, DISK_END, false);
        (void)live(&r, &err);
    }
    if (p->ending == ENDS)
        disk_restart(r.disk);
    else
        disk_cut_power(r.disk);
    write_batch(&r, 2);
    ck_assert_msg(live(&r, &err), "%s: %s", trying, err.msg);
    check_tables(&r, want);
    disk_cut_power(r.disk); /* nothing of it may still be on its way to the platter */
    check_tables(&r, want);
    run_close(&r);
    *trying = 0;
    return failed;
}

START_TEST(every_operation)
{
    const struct plan *p = &plans[_i];
    bool every = getenv("EVERY") != NULL;
    struct buf want = {0};
    uint64_t seed = check_seed(), random = seed, quiet = 0, tried = 0;
    expected(&want);
    for (uint64_t n = 1; quiet < 4; n += every ? 1 : 1 + check_random(&random) % 12) {
        quiet = try_at(p, n, seed + n, &want) ? 0 : quiet + 1;
        tried++;
    }
    printf("%s: %llu runs\n", p->what, (unsigned long long)tried);
    ck_assert_msg(tried > 8, "%s: only %llu operations were tried", p->what, (unsigned long long)tried);
    buf_release(&want);
}
END_TEST

CHECK_SUITE("merge power", t)
{
    tcase_set_timeout(t, 3600);
    tcase_add_checked_fixture(t, NULL, tell);
    tcase_add_loop_test(t, every_operation, 0, CHECK_ROWS(plans));
}
