-- Texts that rows share; rows hold their numbers.
CREATE TABLE texts (
    id INTEGER PRIMARY KEY,
    text TEXT NOT NULL UNIQUE
) STRICT;
INSERT INTO texts (id, text) VALUES (0, '');

-- Every request, once. Clustered in the order of lists: time in Unix microseconds, then id. What lists are filtered by
-- are columns, as numbers of texts; the rest of the record is in `detail` (src/store/detail.rs).
CREATE TABLE requests (
    time INTEGER NOT NULL,
    request_id BLOB NOT NULL,
    user INTEGER NOT NULL,
    provider INTEGER NOT NULL,
    model_asked INTEGER NOT NULL,
    model_answered INTEGER,
    status INTEGER NOT NULL,
    detail BLOB NOT NULL,
    PRIMARY KEY (time, request_id)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX requests_by_id ON requests (request_id);

-- In which seconds something that lists are filtered by occurs: the number of a text, or of a status (src/store/seen.rs).
CREATE TABLE seen (
    value INTEGER NOT NULL,
    second INTEGER NOT NULL,
    PRIMARY KEY (value, second)
) STRICT, WITHOUT ROWID;

-- Sums, kept in the transaction that inserts the requests. Bucket: Unix seconds; level: its length in seconds; user,
-- model and provider: numbers of texts.
CREATE TABLE rollups (
    level INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    user INTEGER NOT NULL,
    model INTEGER NOT NULL,
    provider INTEGER NOT NULL,
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
