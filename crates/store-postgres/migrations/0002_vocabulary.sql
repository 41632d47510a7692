-- What do waits, signals, cancels, calls of other executions, messages and tombstones need?
--
-- Expands the tables of format 1. One column changes its name, so programs of format 1 stop here.

-- Also what a waiting execution waits for: `timer`, `signal`, `child`, `retry`; format 1 wrote nothing
-- there for a retry. States: 12 undone, 13 cancelled beside those of format 1.
ALTER TABLE {schema}.executions RENAME COLUMN park_reason TO reason;

ALTER TABLE {schema}.executions
    -- How somebody wants it cancelled: 1 stop, 2 undo first. Not when finished.
    ADD COLUMN cancel smallint,
    -- How many signals were sent to the run, if any: compared under the row's lock when its owner puts it
    -- down.
    ADD COLUMN signals int,
    -- The execution whose step called it.
    ADD COLUMN parent uuid,
    -- Since when only its generation, fingerprint and state are left.
    ADD COLUMN purged_at timestamptz;

-- What each worker is to cancel.
CREATE INDEX executions_cancelled ON {schema}.executions (owner)
WHERE state = 1 AND cancel IS NOT NULL;
-- Whom a cancel is passed on to.
CREATE INDEX executions_called ON {schema}.executions (parent)
WHERE parent IS NOT NULL AND state < 10;

-- One row for each signal, numbered within its run, from 1.
CREATE TABLE {schema}.signals (
    run_id uuid NOT NULL,
    write_id uuid NOT NULL,
    sent_at timestamptz NOT NULL,
    ord int NOT NULL,
    name text COLLATE "C" NOT NULL,
    payload bytea NOT NULL,
    PRIMARY KEY (run_id, ord)
);

-- One row for each message that is not delivered yet. Those of one execution are written under its
-- row's lock, so their positions are in their order.
CREATE TABLE {schema}.outbox (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id uuid NOT NULL UNIQUE,
    execution uuid NOT NULL,
    run_id uuid NOT NULL,
    emitted_at timestamptz NOT NULL,
    topic text COLLATE "C" NOT NULL,
    payload bytea NOT NULL
)
-- Rows come and go: the index is read from its start.
WITH (autovacuum_vacuum_scale_factor = 0.02);

-- At most one row: the worker that reads the outbox.
CREATE TABLE {schema}.relay (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    leader bigint NOT NULL
);
