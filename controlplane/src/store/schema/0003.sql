-- Budgets. Amounts are whole numbers of the unit's smallest amount, times Unix microseconds, units their index.

-- The true state of every bucket that was ever asked for. `balance` contains what is leased; `as_of` is up to when it
-- was refilled, `remainder` the refill below one amount; `mark` is the highest percentage of use that was told.
-- Numbers are never used again: records that are stored later may still name a bucket that is gone.
CREATE TABLE buckets (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    quota TEXT NOT NULL,
    name TEXT NOT NULL,
    unit INTEGER NOT NULL,
    capacity INTEGER NOT NULL,
    rate_amount INTEGER NOT NULL,
    rate_per_us INTEGER NOT NULL,
    balance INTEGER NOT NULL,
    remainder INTEGER NOT NULL,
    as_of INTEGER NOT NULL,
    charged INTEGER NOT NULL,
    spilled INTEGER NOT NULL,
    mark INTEGER NOT NULL,
    UNIQUE (name, quota, unit)
) STRICT;

-- What each data plane, by the number of its journal, has of a bucket (`Lease` of the shared quota arithmetic). Counters
-- are 64 bits without a sign, stored as they are. `ended`: it has said that it has no more use for the bucket.
CREATE TABLE leases (
    bucket INTEGER NOT NULL,
    holder INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    first INTEGER NOT NULL,
    before INTEGER NOT NULL,
    granted INTEGER NOT NULL,
    seen INTEGER NOT NULL,
    returned INTEGER NOT NULL,
    advanced INTEGER NOT NULL,
    charged INTEGER NOT NULL,
    share_amount INTEGER NOT NULL,
    share_per_us INTEGER NOT NULL,
    as_of INTEGER NOT NULL,
    share_before_amount INTEGER NOT NULL,
    share_before_per_us INTEGER NOT NULL,
    since INTEGER NOT NULL,
    ended INTEGER NOT NULL,
    PRIMARY KEY (bucket, holder)
) STRICT, WITHOUT ROWID;

-- Refills by hand.
CREATE TABLE refills (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    time INTEGER NOT NULL,
    quota TEXT NOT NULL,
    name TEXT NOT NULL,
    unit INTEGER NOT NULL,
    author TEXT NOT NULL,
    added INTEGER NOT NULL,
    before INTEGER NOT NULL,
    after INTEGER NOT NULL
) STRICT;

-- Buckets that were used up to a mark.
CREATE TABLE quota_events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    time INTEGER NOT NULL,
    quota TEXT NOT NULL,
    name TEXT NOT NULL,
    unit INTEGER NOT NULL,
    percent INTEGER NOT NULL,
    balance INTEGER NOT NULL,
    capacity INTEGER NOT NULL
) STRICT;
