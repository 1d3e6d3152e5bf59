-- Events for hooks, written in the transaction that makes their capture part of the index, and gone when they are
-- delivered. `event` is the index of the HookEvent, `send` bits of HookPart, `grants` JSON or empty, `detail` what else is
-- told of the request, as JSON. `segment`: the segment of captures that the bodies are in. `state`: 0 waits, 1 is a dead letter.
-- `since`: when its tries began; `due`: when the next is made; `error`: how the last one failed.
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    hook TEXT NOT NULL,
    event INTEGER NOT NULL,
    request_id BLOB NOT NULL,
    segment INTEGER NOT NULL,
    send INTEGER NOT NULL,
    grants TEXT NOT NULL,
    detail TEXT NOT NULL,
    since INTEGER NOT NULL,
    due INTEGER NOT NULL,
    tries INTEGER NOT NULL,
    state INTEGER NOT NULL,
    error TEXT NOT NULL,
    UNIQUE (request_id, hook, event)
) STRICT;

CREATE INDEX outbox_due ON outbox (hook, due, id) WHERE state = 0;
CREATE INDEX outbox_dead ON outbox (id) WHERE state = 1;
CREATE INDEX outbox_segment ON outbox (segment);

-- What has become of each hook's events, and its last failure.
CREATE TABLE outbox_hooks (
    hook TEXT PRIMARY KEY,
    delivered INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    dead INTEGER NOT NULL,
    last_delivered INTEGER NOT NULL,
    last_failed INTEGER NOT NULL,
    last_error TEXT NOT NULL
) STRICT, WITHOUT ROWID;
