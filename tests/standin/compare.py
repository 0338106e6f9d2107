"""Row-for-row comparison of the merged SQLite tables with the provider's truth."""
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
