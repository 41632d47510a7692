-- What a test from outside asked for, and what was done since its last reset. Made when the test
-- controls are opened; changes nothing that is there.

SELECT pg_advisory_xact_lock(hashtextextended('{schema}', 0));

-- What goes wrong with a step, as JSON, and how often still; NULL for always.
CREATE TABLE IF NOT EXISTS {schema}.test_faults (
    step      text PRIMARY KEY,
    fault     text NOT NULL,
    remaining bigint
);

CREATE TABLE IF NOT EXISTS {schema}.test_counters (
    name  text PRIMARY KEY,
    times bigint NOT NULL
);

-- Messages that were delivered.
CREATE TABLE IF NOT EXISTS {schema}.test_events (
    id    text PRIMARY KEY,
    topic text NOT NULL
);

-- Everything else that was asked for.
CREATE TABLE IF NOT EXISTS {schema}.test_settings (
    name  text PRIMARY KEY,
    value text NOT NULL
);
