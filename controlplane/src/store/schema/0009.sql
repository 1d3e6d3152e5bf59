-- Narrower sums than `rollups`, for what people ask about everybody, kept in the same transactions. Wild figures are
-- capped as there: two sums that are at most 1 << 61 add up without overflow.

-- As `rollups`, of all users together.
CREATE TABLE totals (
    level INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
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
    PRIMARY KEY (level, bucket, model, provider, api)
) STRICT, WITHOUT ROWID;

-- Everybody who has a login and has sent a request: when the first and the last one began, in Unix microseconds, and what
-- all of them add up to. Numbers are small and without gaps: they are bits in `active`.
CREATE TABLE people (
    number INTEGER PRIMARY KEY,
    user INTEGER NOT NULL UNIQUE,
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
    cost_nanousd INTEGER NOT NULL
) STRICT;

-- Who was active: a bit for each person, 4096 a row (`block`), the bytes cut behind the last one that is set. With the
-- model -1 of every hour, else of a model and a day. Bucket: Unix seconds.
CREATE TABLE active (
    model INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    block INTEGER NOT NULL,
    people BLOB NOT NULL,
    PRIMARY KEY (model, bucket, block)
) STRICT, WITHOUT ROWID;

-- What users add up to in days, weeks and stretches of four weeks that are over: whole multiples of their length since 1970.
-- A day is summed from `rollups` when a later one has begun; what comes for it after that is added here as well.
CREATE TABLE user_sums (
    level INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    user INTEGER NOT NULL,
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
    PRIMARY KEY (level, bucket, user)
) STRICT, WITHOUT ROWID;

-- Up to which moment, in Unix seconds, `user_sums` is there.
CREATE TABLE user_sums_until (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    until INTEGER NOT NULL
) STRICT;
INSERT INTO user_sums_until (one, until) VALUES (1, 0);

-- The largest sessions of a period are found without reading the sessions themselves.
DROP INDEX sessions_by_last;
DROP INDEX sessions_by_user;
CREATE INDEX sessions_by_last ON sessions (last, number, client, cost_nanousd, requests, input, output);
CREATE INDEX sessions_by_user ON sessions (user, last, number, client, cost_nanousd, requests, input, output);

-- What was stored before; `active` and `user_sums` are filled after this script, and moments of
-- people made exact (src/store/narrow.rs).
INSERT INTO totals
SELECT level, bucket, model, provider, api,
    min(min(sum(requests >> 32), 536870912) * 4294967296 + sum(requests & 4294967295), 2305843009213693952),
    min(min(sum(errors >> 32), 536870912) * 4294967296 + sum(errors & 4294967295), 2305843009213693952),
    min(min(sum(unknown >> 32), 536870912) * 4294967296 + sum(unknown & 4294967295), 2305843009213693952),
    min(min(sum(unpriced >> 32), 536870912) * 4294967296 + sum(unpriced & 4294967295), 2305843009213693952),
    min(min(sum(input >> 32), 536870912) * 4294967296 + sum(input & 4294967295), 2305843009213693952),
    min(min(sum(input_uncached >> 32), 536870912) * 4294967296 + sum(input_uncached & 4294967295), 2305843009213693952),
    min(min(sum(cached_read >> 32), 536870912) * 4294967296 + sum(cached_read & 4294967295), 2305843009213693952),
    min(min(sum(cache_write >> 32), 536870912) * 4294967296 + sum(cache_write & 4294967295), 2305843009213693952),
    min(min(sum(output >> 32), 536870912) * 4294967296 + sum(output & 4294967295), 2305843009213693952),
    min(min(sum(reasoning >> 32), 536870912) * 4294967296 + sum(reasoning & 4294967295), 2305843009213693952),
    min(min(sum(cost_nanousd >> 32), 536870912) * 4294967296 + sum(cost_nanousd & 4294967295), 2305843009213693952)
FROM rollups GROUP BY level, bucket, model, provider, api;

INSERT INTO people (user, first, last, requests, errors, unknown, unpriced, input, input_uncached, cached_read,
    cache_write, output, reasoning, cost_nanousd)
SELECT user, min(bucket) * 1000000, max(bucket) * 1000000,
    min(min(sum(requests >> 32), 536870912) * 4294967296 + sum(requests & 4294967295), 2305843009213693952),
    min(min(sum(errors >> 32), 536870912) * 4294967296 + sum(errors & 4294967295), 2305843009213693952),
    min(min(sum(unknown >> 32), 536870912) * 4294967296 + sum(unknown & 4294967295), 2305843009213693952),
    min(min(sum(unpriced >> 32), 536870912) * 4294967296 + sum(unpriced & 4294967295), 2305843009213693952),
    min(min(sum(input >> 32), 536870912) * 4294967296 + sum(input & 4294967295), 2305843009213693952),
    min(min(sum(input_uncached >> 32), 536870912) * 4294967296 + sum(input_uncached & 4294967295), 2305843009213693952),
    min(min(sum(cached_read >> 32), 536870912) * 4294967296 + sum(cached_read & 4294967295), 2305843009213693952),
    min(min(sum(cache_write >> 32), 536870912) * 4294967296 + sum(cache_write & 4294967295), 2305843009213693952),
    min(min(sum(output >> 32), 536870912) * 4294967296 + sum(output & 4294967295), 2305843009213693952),
    min(min(sum(reasoning >> 32), 536870912) * 4294967296 + sum(reasoning & 4294967295), 2305843009213693952),
    min(min(sum(cost_nanousd >> 32), 536870912) * 4294967296 + sum(cost_nanousd & 4294967295), 2305843009213693952)
FROM rollups WHERE level = 86400 AND user <> 0 GROUP BY user;
