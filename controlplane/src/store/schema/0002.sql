-- Tokens that this gateway issued. Of the secret there is only its SHA-256; lists and scope are JSON. Times in Unix
-- microseconds.
CREATE TABLE tokens (
    id TEXT NOT NULL PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,
    name TEXT NOT NULL,
    login TEXT NOT NULL,
    tags TEXT NOT NULL,
    groups TEXT NOT NULL,
    models TEXT,
    role TEXT,
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    last_used_at INTEGER,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;
