-- Captures: where they are, and the tool calls in them.
--
-- The files that heads and bodies are in. Numbers are never used again. `state` (SegmentState): what may be done to the
-- file. `kept`: 0 for captures that are there for hooks alone. `bytes`: how far the file belongs to the index; what lies
-- behind was not committed. `first` and `newest`: times of requests in it. `object`: its name in the object store, set before it is put there.
CREATE TABLE capture_segments (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    state INTEGER NOT NULL,
    kept INTEGER NOT NULL,
    opened INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    captures INTEGER NOT NULL,
    first INTEGER NOT NULL,
    newest INTEGER NOT NULL,
    object TEXT
) STRICT;

-- One row a capture, clustered by where it is, so that a segment's rows go as one range. User, model and provider are
-- numbers of texts; `model` is as the client named it. Bytes of bodies as they came, and how many of them are kept.
CREATE TABLE captures (
    segment INTEGER NOT NULL,
    number INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    length INTEGER NOT NULL,
    request_id BLOB NOT NULL,
    time INTEGER NOT NULL,
    user INTEGER NOT NULL,
    provider INTEGER NOT NULL,
    model INTEGER NOT NULL,
    api INTEGER NOT NULL,
    status INTEGER NOT NULL,
    ended INTEGER NOT NULL,
    flags INTEGER NOT NULL,
    request_bytes INTEGER NOT NULL,
    request_kept INTEGER NOT NULL,
    answer_bytes INTEGER NOT NULL,
    answer_kept INTEGER NOT NULL,
    tool_calls INTEGER NOT NULL,
    session TEXT,
    agent TEXT,
    kept INTEGER NOT NULL,
    PRIMARY KEY (segment, number)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX captures_by_id ON captures (request_id);
CREATE INDEX captures_by_time ON captures (time, request_id) WHERE kept = 1;
CREATE INDEX captures_by_user ON captures (user, time, request_id) WHERE kept = 1;
CREATE INDEX captures_by_session ON captures (session, time, request_id) WHERE kept = 1 AND session IS NOT NULL;

-- Tool calls of kept captures; `call` counts within an answer. They may outlive their captures. `arguments` are as the
-- model made them, cut at a bound: `arguments_bytes` says how many there were.
CREATE TABLE tool_calls (
    segment INTEGER NOT NULL,
    capture INTEGER NOT NULL,
    call INTEGER NOT NULL,
    request_id BLOB NOT NULL,
    time INTEGER NOT NULL,
    user INTEGER NOT NULL,
    provider INTEGER NOT NULL,
    model INTEGER NOT NULL,
    session TEXT,
    agent TEXT,
    name TEXT NOT NULL,
    call_id TEXT NOT NULL,
    arguments TEXT NOT NULL,
    arguments_bytes INTEGER NOT NULL,
    hosted INTEGER NOT NULL,
    PRIMARY KEY (segment, capture, call)
) STRICT, WITHOUT ROWID;

CREATE INDEX tool_calls_by_time ON tool_calls (time, request_id, call);
CREATE INDEX tool_calls_by_user ON tool_calls (user, time, request_id, call);
CREATE INDEX tool_calls_by_name ON tool_calls (name, time, request_id, call);
CREATE INDEX tool_calls_by_request ON tool_calls (request_id, call);
CREATE INDEX tool_calls_by_session ON tool_calls (session, time, request_id, call) WHERE session IS NOT NULL;
