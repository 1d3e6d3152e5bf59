-- What the requests of a minute (Unix time / 60) have of what lists are filtered by (src/store/zones.rs): bits of wire
-- formats and of other conditions, the largest cost, the longest duration. Of minutes that an earlier version wrote nothing
-- is known, so they may hold anything.
CREATE TABLE zones (
    minute INTEGER PRIMARY KEY,
    apis INTEGER NOT NULL,
    flags INTEGER NOT NULL,
    cost INTEGER NOT NULL,
    duration_us INTEGER NOT NULL
) STRICT;

INSERT INTO zones (minute,apis,flags,cost,duration_us)
SELECT DISTINCT bucket / 60, 9223372036854775807, 9223372036854775807, 9223372036854775807, 9223372036854775807
FROM rollups WHERE level = 60;

-- From which second on `seen` knows codes of errors and names of judges.
CREATE TABLE seen_words (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    since INTEGER NOT NULL
) STRICT;
INSERT INTO seen_words (one, since) SELECT 1, coalesce(max(time) / 1000000 + 1, 0) FROM requests;
