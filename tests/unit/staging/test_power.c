/* Everything behind the journal, tried at every operation of journal, store and state.db: whatever fails, wherever the process
 * ends or the power is cut, after the next drain each entry of the journal is staged exactly once: its rows in whole objects whose
 * ranges do not overlap, its dead letters, and one count in the books.
 *
 * EVERY=1 tries every operation, and more seeds of each power cut; without it some are left out, other ones each time. */
#include "tests/unit/check_main.h"
#include "tests/unit/support/disk_vfs.h"
#include "world.h"

#define GROUP 9 /* one round of world_load */

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
    struct world w;
    unsigned next; /* of world_load */
};

static void run_open(struct run *r, uint64_t seed)
{
    *r = (struct run){.disk = disk_new(seed)};
    r->vfs = disk_vfs_new(r->disk);
    r->w.faulty.io = *disk_io(r->disk);
    r->w.may_refuse = true;
    (void)snprintf(r->w.dir.path, sizeof(r->w.dir.path), "/disk");
    world_configure(&r->w);
}

static void run_close(struct run *r)
{
    disk_vfs_free(&r->vfs);
    manifest_free(&r->w.manifest);
    report_release(&r->w.report);
    disk_free(&r->disk);
}

static bool begin(struct run *r, struct stager **ret, struct err *err)
{
    struct world *w = &r->w;
    struct journal_opts o = world_journal(w, disk_io(r->disk));
    struct stager_opts so = {.config = &w->config, .data_dir = w->dir.path, .io = disk_io(r->disk)};
    if (!journal_open(&o, &w->journal, err) || !store_open_dir(disk_io(r->disk), w->objects_dir, &w->store, err))
        return false;
    so.journal = w->journal;
    so.store = w->store;
    return stager_new(&so, ret, err);
}

static void end(struct run *r, struct stager **s)
{
    stager_free(s);
    store_close(&r->w.store);
    journal_close(&r->w.journal);
}

/* One process: its entries, staged in two cuts, and some that are left to the next one; without groups, all that is left.
 * false: something failed. */
static bool live(struct run *r, unsigned groups, struct err *err)
{
    struct world *w = &r->w;
    struct stager *s = NULL;
    bool ok = begin(r, &s, err);
    for (unsigned g = 0; ok && g < groups; g++) {
        for (unsigned i = 0; i < GROUP; i++)
            world_load(w, r->next++);
        /* One that goes on after a failure, as stager_run does. */
        ok = stager_drain(s, err) || stager_drain(s, err);
    }
    for (unsigned i = 0; ok && groups && i < GROUP / 2; i++)
        world_load(w, r->next++);
    if (ok && !groups)
        ok = stager_drain(s, err);
    end(r, &s);
    return ok;
}

struct object_range {
    char place[STORE_KEY_MAX]; /* source/table and lane */
    uint64_t first, last;
};
struct ranges {
    struct state *state;
    struct object_range list[64];
    size_t n;
};

/* Of one table and lane two objects cover the same range (two dates of one cut), or ranges that do not meet. Each is recorded. */
static bool note_range(void *ctx, const char *key)
{
    struct ranges *all = ctx;
    struct object_name n;
    struct err err;
    int64_t published;
    ck_assert_msg(object_name_parse(span_of(key), &n), "%s", key);
    ck_assert(db_int(&all->state->db, &published, -1, &err, "SELECT published FROM objects WHERE key = ?", "s", key));
    ck_assert_msg(published == 1, "%s is not written down as published", key);
    struct object_range r = {.first = n.first, .last = n.last};
    (void)snprintf(r.place, sizeof(r.place), "%.*s/%.*s/%.*s", SPAN_ARG(n.source), SPAN_ARG(n.table), SPAN_ARG(n.lane));
    for (size_t i = 0; i < all->n; i++) {
        const struct object_range *o = &all->list[i];
        bool same = o->first == r.first && o->last == r.last, apart = o->last < r.first || r.last < o->first;
        ck_assert_msg(strcmp(o->place, r.place) != 0 || same || apart, "%s meets %llu-%llu", key, (unsigned long long)o->first,
                      (unsigned long long)o->last);
    }
    ck_assert_uint_lt(all->n, CHECK_ROWS(all->list));
    all->list[all->n++] = r;
    return true;
}

static bool note_letter(void *ctx, const struct entry *e, struct span table, uint64_t item, const char *reason, struct err *err)
{
    char id[ENTRY_ID_MAX], line[600];
    entry_id(e, id);
    int n = snprintf(line, sizeof(line), "%s %.*s %llu %s", id, SPAN_ARG(table), (unsigned long long)item, reason);
    return lines_add(ctx, (struct span){line, (size_t)n}, err);
}

static bool note_dead(void *ctx, const struct dead_letter *d)
{
    char line[600];
    int n = snprintf(line, sizeof(line), "%.*s %.*s %llu %.*s", SPAN_ARG(d->entry), SPAN_ARG(d->table),
                     (unsigned long long)d->item, SPAN_ARG(d->reason));
    return lines_add(ctx, (struct span){line, (size_t)n}, NULL);
}

static bool no_row(void *ctx, const struct row *row, struct err *err)
{
    (void)ctx, (void)row, (void)err;
    return true;
}

/* The letters that the journal's entries give, each once. */
static void expected_letters(struct run *r, struct lines *ret)
{
    const struct transform_sink sink = {ret, no_row, note_letter};
    struct transform_result result;
    struct err err;
    struct transform *t = transform_new(&r->w.source, 0, &err);
    ck_assert_ptr_nonnull(t);
    for (enum lane_id i = 0; i < LANE_COUNT; i++) {
        struct reader *reader = reader_open(journal_lane(r->w.journal, i), 1);
        struct entry e;
        for (bool any = true; reader_next(reader, &e, &any, NULL, &err) && any;) {
            if (span_eqz(e.source, "acme"))
                ck_assert(transform_run(t, &e, &sink, &result, &err));
            else
                ck_assert(note_letter(ret, &e, SPAN_LIT(""), 0, "source 'stranger' is not in the configuration", &err));
        }
        reader_close(&reader);
    }
    transform_free(&t);
    lines_sort(ret);
}

/* The journal and all that was made of it. */
static void check_all(struct run *r)
{
    struct world *w = &r->w;
    struct err err;
    struct state state;
    struct lines expected = {0}, found = {0};
    struct ranges ranges = {.state = &state};
    struct journal_opts o = world_journal(w, disk_io(r->disk));
    ck_assert_msg(journal_open(&o, &w->journal, &err), "%s: %s", trying, err.msg);
    ck_assert(store_open_dir(disk_io(r->disk), w->objects_dir, &w->store, &err));
    for (enum lane_id i = 0; i < LANE_COUNT; i++) {
        uint64_t durable = lane_durable(journal_lane(w->journal, i));
        ck_assert_msg(durable >= w->appended[i], "%s: acknowledged entries are gone", trying);
        w->appended[i] = durable;
    }
    world_check(w, 0);
    ck_assert(state_open(&state, w->dir.path, true, &err));
    ck_assert_msg(w->store->ops->list(w->store, "", note_range, &ranges, &err), "%s", err.msg);
    int64_t unknown, pending;
    ck_assert(db_int(&state.db, &unknown, -1, &err, "SELECT count(*) FROM objects", ""));
    ck_assert_int_eq(unknown, (int64_t)ranges.n);
    ck_assert(db_int(&state.db, &pending, -1, &err, "SELECT count(*) FROM cuts", ""));
    ck_assert_int_eq(pending, 0);
    expected_letters(r, &expected);
    ck_assert(state_dead_each(&state, (struct span){0}, INT64_MAX, note_dead, &found, &err));
    lines_sort(&found);
    ck_assert_msg(lines_equal(&expected, &found), "%s: %zu letters expected, %zu found", trying, expected.n, found.n);
    lines_release(&expected);
    lines_release(&found);
    state_close(&state);
    store_close(&w->store);
    journal_close(&w->journal);
}

/* A first life, a second one whose n-th operation fails, and one that must go well. false: it came to no fault. */
static bool try_at(const struct plan *p, uint64_t n, uint64_t seed)
{
    struct run r;
    struct err err;
    uint64_t random = seed;
    run_open(&r, seed);
    (void)snprintf(trying, sizeof(trying), "%s at operation %llu, seed %llu", p->what, (unsigned long long)n,
             (unsigned long long)seed);
    if (check_random(&random) % 2) /* every other run begins with a state that is there */
        ck_assert_msg(live(&r, 1, &err), "%s", err.msg);
    disk_fail_at(r.disk, n, p->fault, p->all_after);
    bool ok = live(&r, 2, &err), failed = disk_failed(r.disk);
    ck_assert_msg(ok || failed, "%s: %s", trying, err.msg);
    if (p->ending == CUT_TWICE) {
        disk_cut_power(r.disk);
        disk_fail_at(r.disk, 1 + check_random(&random) % 300, DISK_END, false);
        (void)live(&r, 1, &err);
    }
    if (p->ending == ENDS)
        disk_restart(r.disk);
    else
        disk_cut_power(r.disk);
    ck_assert_msg(live(&r, 0, &err), "%s: %s", trying, err.msg);
    ck_assert_msg(live(&r, 1, &err) && live(&r, 0, &err), "%s: %s", trying, err.msg);
    check_all(&r);
    disk_cut_power(r.disk); /* nothing of it may still be on its way to the platter */
    check_all(&r);
    run_close(&r);
    *trying = 0;
    return failed;
}

START_TEST(every_operation)
{
    const struct plan *p = &plans[_i];
    bool every = getenv("EVERY") != NULL;
    uint64_t seed = check_seed(), random = seed, quiet = 0, tried = 0;
    for (uint64_t n = 1; quiet < 4; n += every ? 1 : 1 + check_random(&random) % 72) {
        quiet = try_at(p, n, seed + n) ? 0 : quiet + 1;
        tried++;
    }
    printf("%s: %llu runs\n", p->what, (unsigned long long)tried);
    ck_assert_msg(tried > 10, "%s: only %llu operations were tried", p->what, (unsigned long long)tried);
}
END_TEST

/* ---- dead letters tried again ---- */

static bool count_key(void *ctx, const char *key)
{
    (void)key;
    ++*(int64_t *)ctx;
    return true;
}

/* One process that tries all letters again. */
static bool retry(struct run *r, struct err *err)
{
    struct stager *s = NULL;
    uint64_t fixed, still;
    bool ok = begin(r, &s, err) && (stager_retry_dead(s, SPAN_LIT("acme"), 0, &fixed, &still, err) ||
                                    stager_retry_dead(s, SPAN_LIT("acme"), 0, &fixed, &still, err));
    end(r, &s);
    return ok;
}

/* What state.db says, but for the journal's name and for times; the store has as many objects, and the rows that they should. */
static void dump(struct run *r, struct buf *out)
{
    static const char *const sqls[] = {
        "SELECT source || ' ' || tbl || ' ' || lane || ' ' || first || '-' || last || ' ' || rows || ' ' || published"
        " FROM objects ORDER BY 1",
        "SELECT source || ' ' || tbl || ' ' || substr(entry, instr(entry, '/')) || ' ' || item || ' ' || reason || ' ' || alone"
        " FROM dead ORDER BY 1",
        "SELECT source || ' ' || staged || ' ' || ignored || ' ' || dead || ' ' || rows_staged || ' ' || rows_dead FROM books"
        " ORDER BY 1",
    };
    static const char *const lanes[] = {"events", "backfill", "replay-events", "replay-backfill"};
    struct state state;
    struct stager *s = NULL;
    struct err err;
    int64_t objects = 0, recorded, rows, lines = 0;
    ck_assert_msg(begin(r, &s, &err) && state_open(&state, r->w.dir.path, true, &err), "%s", err.msg);
    for (int i = 0; i < CHECK_ROWS(sqls); i++) {
        sqlite3_stmt *st;
        bool row = true;
        ck_assert_msg(db_prepare(&state.db, &st, sqls[i], &err), "%s", err.msg);
        while (db_step(&state.db, st, &row, &err) && row) {
            buf_adds(out, db_col(st, 0));
            buf_addc(out, '\n');
        }
        sqlite3_finalize(st);
    }
    ck_assert(r->w.store->ops->list(r->w.store, "", count_key, &objects, &err));
    ck_assert(db_int(&state.db, &recorded, 0, &err, "SELECT count(*) FROM objects", ""));
    ck_assert(db_int(&state.db, &rows, 0, &err, "SELECT sum(rows) FROM objects", ""));
    for (int i = 0; i < CHECK_ROWS(lanes); i++) {
        struct lines staged;
        (void)world_staged(&r->w, lanes[i], &staged);
        lines += (int64_t)staged.n;
        lines_release(&staged);
    }
    ck_assert_int_eq(objects, recorded);
    ck_assert_int_eq(lines, rows);
    state_close(&state);
    end(r, &s);
}

/* false: it came to no fault. n 0: nothing fails; what came out goes to want. */
static bool try_retry_at(const struct plan *p, uint64_t n, uint64_t seed, struct buf *want)
{
    struct run r;
    struct err err;
    struct buf got = {0};
    run_open(&r, seed);
    (void)snprintf(trying, sizeof(trying), "%s at operation %llu, seed %llu", p->what, (unsigned long long)n,
             (unsigned long long)seed);
    ck_assert_msg(live(&r, 1, &err) && live(&r, 0, &err), "%s", err.msg);
    world_manifest(&r.w, MANIFEST_FIXED);
    disk_fail_at(r.disk, n, p->fault, p->all_after);
    bool ok = retry(&r, &err), failed = disk_failed(r.disk);
    ck_assert_msg(ok || failed, "%s: %s", trying, err.msg);
    if (p->ending == ENDS)
        disk_restart(r.disk);
    else
        disk_cut_power(r.disk);
    ck_assert_msg(retry(&r, &err), "%s: %s", trying, err.msg);
    disk_cut_power(r.disk);
    dump(&r, n ? &got : want);
    ck_assert_msg(!n || span_eq(buf_span(&got), buf_span(want)), "%s:\n%.1500s\nand should be\n%.1500s", trying, buf_z(&got),
                  buf_z(want));
    buf_release(&got);
    run_close(&r);
    *trying = 0;
    return failed;
}

START_TEST(every_operation_of_a_retry)
{
    const struct plan *p = &plans[_i];
    bool every = getenv("EVERY") != NULL;
    struct buf want = {0};
    uint64_t seed = check_seed(), random = seed, quiet = 0, tried = 0;
    (void)try_retry_at(p, 0, seed, &want);
    for (uint64_t n = 1; quiet < 4; n += every ? 1 : 1 + check_random(&random) % 110) {
        quiet = try_retry_at(p, n, seed + n, &want) ? 0 : quiet + 1;
        tried++;
    }
    printf("%s: %llu runs\n", p->what, (unsigned long long)tried);
    buf_release(&want);
}
END_TEST

CHECK_SUITE("staging power", t)
{
    tcase_set_timeout(t, 3600);
    tcase_add_checked_fixture(t, NULL, tell);
    tcase_add_loop_test(t, every_operation, 0, CHECK_ROWS(plans));
    tcase_add_loop_test(t, every_operation_of_a_retry, 0, CHECK_ROWS(plans));
}
