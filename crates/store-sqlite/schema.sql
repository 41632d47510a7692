-- What the migrations make of a new file, in the order of names. A test keeps this picture true.

CREATE TABLE keystep_checkpoints (
    run_id      BLOB NOT NULL CHECK (length(run_id) = 16),
    step        TEXT NOT NULL CHECK (instr(CAST(step AS BLOB), x'00') = 0),
    seq         INTEGER NOT NULL,
    epoch       INTEGER NOT NULL,
    worker      INTEGER NOT NULL,
    write_id    BLOB NOT NULL CHECK (length(write_id) = 16),
    attempt     INTEGER NOT NULL,
    lost        INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL,
    output      BLOB NOT NULL,
    PRIMARY KEY (run_id, step)
) STRICT, WITHOUT ROWID;

CREATE TABLE keystep_executions (
    id          BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    run_id      BLOB NOT NULL CHECK (length(run_id) = 16),
    generation  INTEGER NOT NULL,
    state       INTEGER NOT NULL,
    epoch       INTEGER NOT NULL,
    token       BLOB NOT NULL CHECK (length(token) = 16),
    owner       INTEGER,
    wake_at     INTEGER,
    expires_at  INTEGER,
    tries       INTEGER NOT NULL DEFAULT 0,
    tries_seq   INTEGER NOT NULL DEFAULT 0,
    lost        INTEGER NOT NULL DEFAULT 0,
    created_at  INTEGER NOT NULL,
    acquired_at INTEGER NOT NULL,
    finished_at INTEGER,
    plan_id     BLOB NOT NULL CHECK (length(plan_id) = 16),
    shape_id    BLOB NOT NULL CHECK (length(shape_id) = 16),
    input_hash  BLOB NOT NULL CHECK (length(input_hash) = 32),
    ended_by    BLOB CHECK (length(ended_by) = 16),
    reason      TEXT,
    cancel      INTEGER,
    signals     INTEGER NOT NULL DEFAULT 0,
    parent      BLOB CHECK (length(parent) = 16),
    purged_at   INTEGER,
    output_step TEXT,
    schema_name TEXT NOT NULL
        CHECK (octet_length(schema_name) <= 256 AND instr(CAST(schema_name AS BLOB), x'00') = 0),
    scope       TEXT NOT NULL
        CHECK (octet_length(scope) <= 512 AND instr(CAST(scope AS BLOB), x'00') = 0),
    key_text    TEXT NOT NULL
        CHECK (octet_length(key_text) BETWEEN 1 AND 1024 AND instr(CAST(key_text AS BLOB), x'00') = 0),
    failure     BLOB,
    input       BLOB NOT NULL
) STRICT;

CREATE INDEX keystep_executions_called ON keystep_executions (parent) WHERE parent IS NOT NULL AND state < 10;

CREATE INDEX keystep_executions_cancelled ON keystep_executions (owner) WHERE state = 1 AND cancel IS NOT NULL;

CREATE INDEX keystep_executions_due ON keystep_executions (wake_at) WHERE wake_at IS NOT NULL;

CREATE INDEX keystep_executions_expiry ON keystep_executions (expires_at) WHERE expires_at IS NOT NULL;

CREATE INDEX keystep_executions_running ON keystep_executions (owner) WHERE state = 1;

CREATE TABLE keystep_format (
    one        INTEGER PRIMARY KEY CHECK (one = 1),
    version    INTEGER NOT NULL,
    min_reader INTEGER NOT NULL
) STRICT;

CREATE TABLE keystep_outbox (
    position   INTEGER PRIMARY KEY,
    id         BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    execution  BLOB NOT NULL CHECK (length(execution) = 16),
    run_id     BLOB NOT NULL CHECK (length(run_id) = 16),
    emitted_at INTEGER NOT NULL,
    topic      TEXT NOT NULL CHECK (instr(CAST(topic AS BLOB), x'00') = 0),
    payload    BLOB NOT NULL
) STRICT;

CREATE TABLE keystep_plans (
    id          BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    shape_id    BLOB NOT NULL CHECK (length(shape_id) = 16),
    schema_name TEXT NOT NULL,
    body        TEXT NOT NULL
) STRICT;

CREATE TABLE keystep_relay (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    leader INTEGER NOT NULL
) STRICT;

CREATE TABLE keystep_signals (
    run_id   BLOB NOT NULL CHECK (length(run_id) = 16),
    ord      INTEGER NOT NULL,
    write_id BLOB NOT NULL CHECK (length(write_id) = 16),
    sent_at  INTEGER NOT NULL,
    name     TEXT NOT NULL CHECK (instr(CAST(name AS BLOB), x'00') = 0),
    payload  BLOB NOT NULL,
    PRIMARY KEY (run_id, ord)
) STRICT, WITHOUT ROWID;

CREATE TABLE keystep_workers (
    id         INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    shapes     BLOB NOT NULL,
    beat       INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at   INTEGER
) STRICT;
