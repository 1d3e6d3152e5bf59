-- Exports.

-- What became complete, in the order of commits, while an exporter wanted its kind: 0 a request, 2 an entry of the audit,
-- 3 a mark of a budget. `added`: when; `time`: of the request; `item`: number of the entry or mark. `capture` of a
-- request: 0 there is none to export, 1 it is stored, 2 it did not come in time.
CREATE TABLE export_log (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    kind INTEGER NOT NULL,
    added INTEGER NOT NULL,
    time INTEGER NOT NULL,
    request_id BLOB,
    item INTEGER,
    capture INTEGER NOT NULL
) STRICT;

-- Requests of which one half is stored: 0 the record, 1 the capture, 3 a capture that is for hooks alone; 2: the record,
-- logged without its capture, which may still come. `since`: when the row was made.
CREATE TABLE export_waiting (
    request_id BLOB NOT NULL PRIMARY KEY,
    time INTEGER NOT NULL,
    since INTEGER NOT NULL,
    state INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX export_waiting_since ON export_waiting (state, since);

-- The exporters of the document. `id`: told apart from one of the same name in another store or before; `cursor`: last
-- entry of the log that it has; `planned`: last entry of what is being sent, so that it is the same after a crash.
-- `wants`: bits of what it sends.
CREATE TABLE exports (
    name TEXT NOT NULL PRIMARY KEY,
    id TEXT NOT NULL,
    wants INTEGER NOT NULL,
    enabled INTEGER NOT NULL,
    cursor INTEGER NOT NULL,
    planned INTEGER,
    records INTEGER NOT NULL,
    succeeded INTEGER
) STRICT, WITHOUT ROWID;
