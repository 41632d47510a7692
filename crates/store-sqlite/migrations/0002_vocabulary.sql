-- Format 2: waits for signals and other executions, wishes to cancel, calls, messages, tombstones.
--
-- One column changes its name, so programs of format 1 stop here. The table of the executions is made
-- anew and not altered: a column behind the long ones costs a walk over their pages with each read.

ALTER TABLE keystep_executions RENAME TO keystep_executions_1;

-- One row per key, for all its generations. `wake_at` is set for what is or will be due, and only for
-- that. `reason` is why it is parked, or what it waits for: NULL in a row that format 1 put down, which
-- waits for the next try. `ended_by` is the write that ended the last ownership: it tells a write that is
-- sent again from another one. `cancel` is how somebody wants it cancelled: 1 stop, 2 undo first; NULL
-- when finished. `signals` is how many were sent to the run. `parent` is the execution whose step called
-- it. Since `purged_at` only its generation, fingerprint and state are left. The long columns come last.
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

INSERT INTO keystep_executions (
    id, run_id, generation, state, epoch, token, owner, wake_at, expires_at, tries, tries_seq, lost,
    created_at, acquired_at, finished_at, plan_id, shape_id, input_hash, ended_by, reason, output_step,
    schema_name, scope, key_text, failure, input
)
SELECT
    id, run_id, generation, state, epoch, token, owner, wake_at, expires_at, tries, tries_seq, lost,
    created_at, acquired_at, finished_at, plan_id, shape_id, input_hash, ended_by, parked, output_step,
    schema_name, scope, key_text, failure, input
FROM keystep_executions_1
ORDER BY rowid;

DROP TABLE keystep_executions_1;

CREATE INDEX keystep_executions_due ON keystep_executions (wake_at) WHERE wake_at IS NOT NULL;
CREATE INDEX keystep_executions_running ON keystep_executions (owner) WHERE state = 1;
CREATE INDEX keystep_executions_expiry ON keystep_executions (expires_at) WHERE expires_at IS NOT NULL;
-- What each worker is to cancel.
CREATE INDEX keystep_executions_cancelled ON keystep_executions (owner) WHERE state = 1 AND cancel IS NOT NULL;
-- Whom a cancel is passed on to.
CREATE INDEX keystep_executions_called ON keystep_executions (parent) WHERE parent IS NOT NULL AND state < 10;

-- One row per signal, numbered within its run, from 1.
CREATE TABLE keystep_signals (
    run_id   BLOB NOT NULL CHECK (length(run_id) = 16),
    ord      INTEGER NOT NULL,
    write_id BLOB NOT NULL CHECK (length(write_id) = 16),
    sent_at  INTEGER NOT NULL,
    name     TEXT NOT NULL CHECK (instr(CAST(name AS BLOB), x'00') = 0),
    payload  BLOB NOT NULL,
    PRIMARY KEY (run_id, ord)
) STRICT, WITHOUT ROWID;

-- One row per message that is not delivered yet, in the order in which they were written.
CREATE TABLE keystep_outbox (
    position   INTEGER PRIMARY KEY,
    id         BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    execution  BLOB NOT NULL CHECK (length(execution) = 16),
    run_id     BLOB NOT NULL CHECK (length(run_id) = 16),
    emitted_at INTEGER NOT NULL,
    topic      TEXT NOT NULL CHECK (instr(CAST(topic AS BLOB), x'00') = 0),
    payload    BLOB NOT NULL
) STRICT;

-- At most one row: the worker that reads the outbox.
CREATE TABLE keystep_relay (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    leader INTEGER NOT NULL
) STRICT;

UPDATE keystep_format SET version = 2, min_reader = 2;
