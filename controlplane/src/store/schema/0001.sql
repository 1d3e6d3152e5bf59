-- Every request, once. Clustered in the order of lists: time in Unix microseconds, then id.
CREATE TABLE requests (
    time INTEGER NOT NULL,
    request_id BLOB NOT NULL,
    shard INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    user TEXT NOT NULL,
    node TEXT NOT NULL,
    tags TEXT,
    api TEXT NOT NULL,
    path TEXT NOT NULL,
    provider TEXT NOT NULL,
    model_asked TEXT NOT NULL,
    model_answered TEXT,
    status INTEGER NOT NULL,
    stream INTEGER NOT NULL,
    ended TEXT NOT NULL,
    usage_known TEXT NOT NULL,
    input INTEGER,
    input_uncached INTEGER,
    cached_read INTEGER,
    cache_write INTEGER,
    cache_write_5m INTEGER,
    cache_write_1h INTEGER,
    output INTEGER,
    reasoning INTEGER,
    total INTEGER,
    input_audio INTEGER,
    input_image INTEGER,
    cached_audio INTEGER,
    output_audio INTEGER,
    output_image INTEGER,
    audio_ms INTEGER,
    web_searches INTEGER,
    web_fetches INTEGER,
    hosted_tools INTEGER,
    stated_cost INTEGER,
    side TEXT,
    cost INTEGER,
    priced INTEGER NOT NULL,
    stop_reason TEXT,
    tool_calls INTEGER NOT NULL,
    error TEXT,
    ttft_us INTEGER,
    duration_us INTEGER NOT NULL,
    session TEXT,
    user_agent TEXT,
    request_bytes INTEGER NOT NULL,
    response_bytes INTEGER NOT NULL,
    PRIMARY KEY (time, request_id)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX requests_by_id ON requests (request_id);
CREATE INDEX requests_by_user ON requests (user, time);

-- Sums, kept in the transaction that inserts the requests. Bucket: Unix seconds; level: its length in seconds.
CREATE TABLE rollups (
    level INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    user TEXT NOT NULL,
    model TEXT NOT NULL,
    provider TEXT NOT NULL,
    api TEXT NOT NULL,
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
    PRIMARY KEY (level, bucket, user, model, provider, api)
) STRICT, WITHOUT ROWID;

-- How far each shard's row of journal segments has been read.
CREATE TABLE cursors (
    incarnation INTEGER NOT NULL,
    shard INTEGER NOT NULL,
    segment INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    PRIMARY KEY (incarnation, shard)
) STRICT, WITHOUT ROWID;

-- Journals of dead data planes that are stored completely and whose directories may still be there.
CREATE TABLE finished (
    incarnation INTEGER NOT NULL PRIMARY KEY
) STRICT;
