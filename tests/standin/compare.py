"""Row-for-row comparison of the merged SQLite tables, or of row envelopes, with the provider's truth."""
import json
import sqlite3


def cell(value):
    """What the merge stores for a JSON value."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, (dict, list)):
        return json.dumps(value, sort_keys=True)
    return value


def stored(value, expected):
    """A stored cell, made comparable: nested values are JSON text in the provider's spelling."""
    if isinstance(expected, (dict, list)) and isinstance(value, str):
        try:
            return json.dumps(json.loads(value), sort_keys=True)
        except ValueError:
            return value
    return value


def tables(path, source, truth, limit=1000):
    """The differences as lines of text; empty when every table equals the truth. Columns that a row lacks must be NULL."""
    db = sqlite3.connect("file:%s?mode=ro" % path, uri=True)
    wrong = []
    for table, rows in truth.items():
        name = "%s_%s" % (source, table)
        try:
            cursor = db.execute('select * from "%s"' % name)
        except sqlite3.OperationalError as e:
            if rows:
                wrong.append("%s: %s" % (name, e))
            continue
        columns = [d[0] for d in cursor.description]
        seen = set()
        for values in cursor:
            row = dict(zip(columns, values))
            key = row["id"]
            if key in seen:
                wrong.append("%s: %r is there twice" % (name, key))
            seen.add(key)
            if key not in rows:
                wrong.append("%s: %r is there, but deleted at the provider: %r" % (name, key, row))
                continue
            for column in set(row) | set(rows[key]):
                expected = rows[key].get(column)
                if stored(row.get(column), expected) != cell(expected):
                    wrong.append("%s: %r.%s is %r, the truth is %r" % (name, key, column, row.get(column), expected))
        for key in set(rows) - seen:
            wrong.append("%s: %r is missing" % (name, key))
        if len(wrong) > limit:
            break
    db.close()
    return wrong


def latest(envelopes, lacks):
    """What a reader of row envelopes makes of them, in any order, by docs/formats.md alone: {table: {id: row}}. `lacks`: the columns
    that rows of a table's shape other than full do not carry, {table: {shape: [column]}}."""
    upserts, gone = {}, {}
    for e in envelopes:
        key = (e["table"], e["row"]["id"] if e["op"] == "upsert" else e["key"]["id"])
        if e["op"] == "delete":
            gone[key] = max(gone.get(key, ""), e["observed_at"])
        else:
            shapes = upserts.setdefault(key, {})
            if e["shape"] not in shapes or e["version"] > shapes[e["shape"]]["version"]:
                shapes[e["shape"]] = e
    found = {}
    for (table, key), shapes in upserts.items():
        row = {}
        for e in sorted(shapes.values(), key=lambda e: e["version"]):
            if e["observed_at"] <= gone.get((table, key), ""):
                continue
            without = lacks.get(table, {}).get(e["shape"], ())
            row = {**{c: v for c, v in row.items() if c in without}, **e["row"]}
        if row:
            found.setdefault(table, {})[key] = row
    return found


def messages(envelopes, truth, lacks):
    """The differences of the latest rows of the envelopes from the truth, as lines of text."""
    found, wrong = latest(envelopes, lacks), []
    for table, rows in truth.items():
        there = found.get(table, {})
        wrong += ["%s: %r is missing" % (table, key) for key in set(rows) - set(there)]
        wrong += ["%s: %r is there, but deleted at the provider" % (table, key) for key in set(there) - set(rows)]
        for key in set(rows) & set(there):
            for column in set(rows[key]) | set(there[key]):
                if cell(there[key].get(column)) != cell(rows[key].get(column)):
                    wrong.append("%s: %r.%s is %r, the truth is %r" % (table, key, column, there[key].get(column),
                                                                       rows[key].get(column)))
    return wrong
