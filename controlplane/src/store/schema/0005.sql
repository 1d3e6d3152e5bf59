-- Sessions: what the requests of one conversation add up to, kept in the transaction that inserts the requests. A request
-- without a session key has none. Times in Unix microseconds; users and models are numbers of texts.

-- `id`: 16 bytes, of login and key (src/store/sessions.rs); `client`, `source`: indexes of their lists; `parent`: the id of
-- the session that started this one. `first` and `last`: when the first and the last request began.
CREATE TABLE sessions (
    number INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    user INTEGER NOT NULL,
    node TEXT NOT NULL,
    key TEXT NOT NULL,
    source INTEGER NOT NULL,
    client INTEGER NOT NULL,
    user_agent TEXT,
    parent BLOB,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    errors INTEGER NOT NULL,
    unknown INTEGER NOT NULL,
    unpriced INTEGER NOT NULL,
    input INTEGER NOT NULL,
    input_uncached INTEGER NOT NULL,
    cached_read INTEGER NOT NULL,
    cache_write INTEGER NOT NULL,
    output INTEGER NOT NULL,
    reasoning INTEGER NOT NULL,
    cost_nanousd INTEGER NOT NULL,
    tool_calls INTEGER NOT NULL,
    busy_us INTEGER NOT NULL
) STRICT;

CREATE INDEX sessions_by_last ON sessions (last, number, client);
CREATE INDEX sessions_by_user ON sessions (user, last, number, client);
CREATE INDEX sessions_by_parent ON sessions (parent) WHERE parent IS NOT NULL;

-- `last` is that of the session, in every row of it: lists of a model have the order of all lists.
CREATE TABLE session_models (
    session INTEGER NOT NULL,
    model INTEGER NOT NULL,
    last INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    errors INTEGER NOT NULL,
    unknown INTEGER NOT NULL,
    unpriced INTEGER NOT NULL,
    input INTEGER NOT NULL,
    input_uncached INTEGER NOT NULL,
    cached_read INTEGER NOT NULL,
    cache_write INTEGER NOT NULL,
    output INTEGER NOT NULL,
    reasoning INTEGER NOT NULL,
    cost_nanousd INTEGER NOT NULL,
    tool_calls INTEGER NOT NULL,
    busy_us INTEGER NOT NULL,
    PRIMARY KEY (session, model)
) STRICT, WITHOUT ROWID;

CREATE INDEX session_models_by_model ON session_models (model, last, session);

-- Agents beside the main one, whose figures are what these leave of the session's.
CREATE TABLE session_agents (
    session INTEGER NOT NULL,
    agent TEXT NOT NULL,
    parent TEXT,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    errors INTEGER NOT NULL,
    unknown INTEGER NOT NULL,
    unpriced INTEGER NOT NULL,
    input INTEGER NOT NULL,
    input_uncached INTEGER NOT NULL,
    cached_read INTEGER NOT NULL,
    cache_write INTEGER NOT NULL,
    output INTEGER NOT NULL,
    reasoning INTEGER NOT NULL,
    cost_nanousd INTEGER NOT NULL,
    tool_calls INTEGER NOT NULL,
    busy_us INTEGER NOT NULL,
    PRIMARY KEY (session, agent)
) STRICT, WITHOUT ROWID;

-- Which requests a session has: their place in `requests`.
CREATE TABLE session_requests (
    session INTEGER NOT NULL,
    time INTEGER NOT NULL,
    request_id BLOB NOT NULL,
    PRIMARY KEY (session, time, request_id)
) STRICT, WITHOUT ROWID;
