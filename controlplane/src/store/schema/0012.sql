-- Sums of users over days, weeks and stretches of four weeks that are over, by model and, with the model -1, altogether; before,
-- they were altogether only. The table is filled after this script (src/store/narrow.rs).
DROP TABLE user_sums;
CREATE TABLE user_sums (
    level INTEGER NOT NULL,
    model INTEGER NOT NULL,
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
    PRIMARY KEY (level, model, bucket, user)
) STRICT, WITHOUT ROWID;

UPDATE user_sums_until SET until = 0;
