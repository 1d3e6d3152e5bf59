-- What insights are read from, so that no page walks through all requests. Hours: Unix seconds of their beginnings; other
-- times in Unix microseconds; users and names of judges are numbers of texts.

-- Calls of tools by hour, written with the captures that they stand in and kept when those are purged. `user` -1:
-- everybody's. Names are made up by models: of an hour the first thousand count by name, the rest under ''.
CREATE TABLE tool_sums (
    user INTEGER NOT NULL,
    hour INTEGER NOT NULL,
    name TEXT NOT NULL,
    calls INTEGER NOT NULL,
    hosted INTEGER NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (user, hour, name)
) STRICT, WITHOUT ROWID;

-- Who had tools called: when first and last.
CREATE TABLE tool_users (
    name TEXT NOT NULL,
    user INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (name, user)
) STRICT, WITHOUT ROWID;

-- What was kept of calls before there were sums.
INSERT INTO tool_sums (user,hour,name,calls,hosted,last)
SELECT user, hour, CASE WHEN place <= 1000 THEN name ELSE '' END, sum(calls), sum(hosted), max(last) FROM (
    SELECT t.user, t.hour, t.name, t.calls, t.hosted, t.last,
        dense_rank() OVER (PARTITION BY t.hour ORDER BY t.name) AS place
    FROM (
        SELECT user, time / 3600000000 * 3600 AS hour, substr(name, 1, 128) AS name, count(*) AS calls,
            sum(hosted) AS hosted, max(time) AS last
        FROM tool_calls GROUP BY 1, 2, 3
    ) t
) GROUP BY 1, 2, 3;
INSERT INTO tool_sums (user,hour,name,calls,hosted,last)
SELECT -1, hour, name, sum(calls), sum(hosted), max(last) FROM tool_sums GROUP BY hour, name;
INSERT INTO tool_users (name,user,first,last)
SELECT s.name, t.user, min(t.time), max(t.time) FROM tool_calls t JOIN tool_sums s
    ON s.user = t.user AND s.hour = t.time / 3600000000 * 3600 AND s.name = substr(t.name, 1, 128)
GROUP BY 1, 2;

-- What hooks and guardrails said, by hour. `judge` and `action`: their indexes. `found`: findings of the verdicts;
-- `timed`: verdicts that say how long they took.
CREATE TABLE verdict_sums (
    hour INTEGER NOT NULL,
    judge INTEGER NOT NULL,
    name INTEGER NOT NULL,
    action INTEGER NOT NULL,
    shadow INTEGER NOT NULL,
    verdicts INTEGER NOT NULL,
    found INTEGER NOT NULL,
    timed INTEGER NOT NULL,
    took_us INTEGER NOT NULL,
    took_max_us INTEGER NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (hour, judge, name, action, shadow)
) STRICT, WITHOUT ROWID;

-- Verdicts that say more than "allow": their place in `requests`, and in the record (`number`).
CREATE TABLE verdict_hits (
    time INTEGER NOT NULL,
    request_id BLOB NOT NULL,
    number INTEGER NOT NULL,
    user INTEGER NOT NULL,
    judge INTEGER NOT NULL,
    name INTEGER NOT NULL,
    action INTEGER NOT NULL,
    shadow INTEGER NOT NULL,
    PRIMARY KEY (time, request_id, number)
) STRICT, WITHOUT ROWID;

CREATE INDEX verdict_hits_by_name ON verdict_hits (name, time, request_id, number);
CREATE INDEX verdict_hits_by_user ON verdict_hits (user, time, request_id, number);
CREATE INDEX verdict_hits_by_action ON verdict_hits (action, time, request_id, number);

-- States of buckets as they changed. `level`: seconds that a sample stands for, of which `slot` is the beginning; `time`:
-- when it was taken.
CREATE TABLE quota_samples (
    bucket INTEGER NOT NULL,
    level INTEGER NOT NULL,
    slot INTEGER NOT NULL,
    time INTEGER NOT NULL,
    balance INTEGER NOT NULL,
    charged INTEGER NOT NULL,
    PRIMARY KEY (bucket, level, slot)
) STRICT, WITHOUT ROWID;

CREATE INDEX quota_samples_by_slot ON quota_samples (level, slot);

-- Each bucket at its last sample; `raw`: its balance as the row had it, before it was refilled up to then.
CREATE TABLE quota_sampled (
    bucket INTEGER PRIMARY KEY,
    raw INTEGER NOT NULL,
    balance INTEGER NOT NULL,
    charged INTEGER NOT NULL
) STRICT;

-- Sessions by the beginnings of their keys.
CREATE INDEX sessions_by_key ON sessions (key);
