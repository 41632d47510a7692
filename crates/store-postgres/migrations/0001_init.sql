-- What does keystep keep in PostgreSQL? Executions, their checkpoints, plans and workers.
--
-- Run by `migrate()` inside one transaction; {schema} is the checked schema name. A released file
-- never changes: later versions add files.

-- One row: the version of these tables, and the oldest program version that may use them.
CREATE TABLE {schema}.format (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version int NOT NULL,
    min_reader int NOT NULL,
    migrated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- One row for each key that was used. The id is derived from the key, so it is the only unique
-- index. States: 0 ready, 1 running, 2 waiting, 3 parked, 10 succeeded, 11 failed.
CREATE TABLE {schema}.executions (
    id uuid PRIMARY KEY,
    run_id uuid NOT NULL,
    -- The claim of the present or last owner: what every write of an owner is compared with.
    token uuid NOT NULL,
    epoch bigint NOT NULL,
    generation bigint NOT NULL,
    owner bigint,
    plan uuid NOT NULL,
    shape uuid NOT NULL,
    -- The write that ended the last ownership, so that it is recognised when it is sent again.
    ended_by uuid,
    created_at timestamptz NOT NULL,
    acquired_at timestamptz NOT NULL,
    finished_at timestamptz,
    wake_at timestamptz,
    expires_at timestamptz,
    tries int NOT NULL DEFAULT 0,
    tries_seq int NOT NULL DEFAULT 0,
    lost int NOT NULL DEFAULT 0,
    state smallint NOT NULL,
    schema_name text COLLATE "C" NOT NULL,
    scope text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    park_reason text COLLATE "C",
    -- The outcome by reference: the checkpoint (run_id, output_step).
    output_step text COLLATE "C",
    input_hash bytea NOT NULL,
    failure bytea,
    input bytea NOT NULL,
    CONSTRAINT running_has_an_owner CHECK ((state = 1) = (owner IS NOT NULL))
)
-- The state is part of index predicates, so its one to three changes in a life are not HOT; the
-- free space keeps the new version of a row on its page.
WITH (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_insert_scale_factor = 0.05
);

-- Due work: set only where a wake-up makes sense, so finished rows cost nothing here.
CREATE INDEX executions_due ON {schema}.executions (wake_at) WHERE wake_at IS NOT NULL;
-- Whose work is running: orphans and a worker's own.
CREATE INDEX executions_running ON {schema}.executions (owner) WHERE state = 1;
-- What may be purged.
CREATE INDEX executions_expiring ON {schema}.executions (expires_at) WHERE state >= 10;

-- One row for each recorded step result. No foreign key: it would not fence, and would cost a
-- lock for each insert.
CREATE TABLE {schema}.checkpoints (
    run_id uuid NOT NULL,
    write_id uuid NOT NULL,
    epoch bigint NOT NULL,
    worker bigint NOT NULL,
    recorded_at timestamptz NOT NULL,
    seq int NOT NULL,
    attempt int NOT NULL,
    lost int NOT NULL,
    step text COLLATE "C" NOT NULL,
    output bytea NOT NULL,
    PRIMARY KEY (run_id, step)
)
WITH (autovacuum_vacuum_insert_scale_factor = 0.05);

-- Schemas as data, by content hash.
CREATE TABLE {schema}.plans (
    id uuid PRIMARY KEY,
    shape uuid NOT NULL,
    schema_name text COLLATE "C" NOT NULL,
    body text COLLATE "C" NOT NULL,
    saved_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- One row for each process start. Its id is also the key of the advisory lock that its liveness
-- session holds.
CREATE TABLE {schema}.workers (
    id bigint PRIMARY KEY,
    beat bigint NOT NULL DEFAULT 0,
    dead boolean NOT NULL DEFAULT false,
    backend_pid int,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    died_at timestamptz,
    name text COLLATE "C" NOT NULL,
    shapes uuid[] NOT NULL
)
-- A beat each second must stay on its page.
WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 100);

-- Live workers, however many have died.
CREATE INDEX workers_live ON {schema}.workers (id) WHERE NOT dead;
