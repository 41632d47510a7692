-- What a test from outside asked for, and what was done since its last reset. Made when the test
-- controls are opened; changes nothing that is there.

-- What goes wrong with a step, as JSON, and how often still; NULL for always.
CREATE TABLE IF NOT EXISTS test_faults (
    step      TEXT PRIMARY KEY,
    fault     TEXT NOT NULL,
    remaining INTEGER
) STRICT;

CREATE TABLE IF NOT EXISTS test_counters (
    name  TEXT PRIMARY KEY,
    times INTEGER NOT NULL
) STRICT;

-- Messages that were delivered.
CREATE TABLE IF NOT EXISTS test_events (
    id    TEXT PRIMARY KEY,
    topic TEXT NOT NULL
) STRICT;

-- Everything else that was asked for.
CREATE TABLE IF NOT EXISTS test_settings (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;
