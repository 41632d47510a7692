//! How did an execution's row change, and what was recorded for it? Triggers in the database note
//! it, whoever did it, so that it is known also of runs that are gone.

use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::ground::{Ground, postgres, sqlite};

/// A change of an execution's row, as it was after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// When, in microseconds since 1970.
    pub at: i64,
    /// The execution.
    pub execution: Uuid,
    /// Its run.
    pub run: Uuid,
    /// Its epoch.
    pub epoch: i64,
    /// The token of its claim.
    pub token: Uuid,
    /// Its owner.
    pub owner: Option<i64>,
    /// Its state, as the stored number.
    pub state: i16,
    /// Until when its outcome is kept, in microseconds since 1970.
    pub kept_until: Option<i64>,
    /// Its failure as it is stored.
    pub failure: Option<Vec<u8>>,
    /// Whether the row was deleted; it was like this before.
    pub deleted: bool,
}

/// A step result that was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// When, in microseconds since 1970.
    pub at: i64,
    /// The run.
    pub run: Uuid,
    /// The step.
    pub step: String,
    /// The step's position, from 0.
    pub seq: i64,
    /// Epoch of the owner that wrote it.
    pub epoch: i64,
    /// The output as it is stored.
    pub output: Vec<u8>,
}

/// Where changes are noted on SQLite, and the trigger that notes checkpoints.
const ON_SQLITE: &str = "
CREATE TABLE audit (
    number INTEGER PRIMARY KEY AUTOINCREMENT, at bigint, execution blob, run blob, epoch bigint,
    token blob, owner bigint, state bigint, kept_until bigint, failure blob, deleted bigint
);
CREATE TABLE audit_recorded (
    number INTEGER PRIMARY KEY AUTOINCREMENT, at bigint, run blob, step text, seq bigint,
    epoch bigint, output blob
);
CREATE TRIGGER audit_checkpoint AFTER INSERT ON keystep_checkpoints BEGIN
    INSERT INTO audit_recorded (at, run, step, seq, epoch, output) VALUES (
        new.recorded_at, new.run_id, new.step, new.seq, new.epoch, new.output
    );
END;";

/// One trigger for each kind of change.
const TRIGGER_ON_SQLITE: &str = "
CREATE TRIGGER audit_{change} AFTER {change} ON keystep_executions BEGIN
    INSERT INTO audit (
        at, execution, run, epoch, token, owner, state, kept_until, failure, deleted
    ) VALUES (
        CAST(unixepoch('subsec') * 1000000 AS INTEGER), {row}.id, {row}.run_id, {row}.epoch,
        {row}.token, {row}.owner, {row}.state, {row}.expires_at, {row}.failure, {row_is_old}
    );
END;";

const ON_POSTGRES: &str = "
CREATE TABLE audit (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at bigint, execution uuid, run uuid,
    epoch bigint, token uuid, owner bigint, state bigint, kept_until bigint, failure bytea,
    deleted bigint
);
CREATE TABLE audit_recorded (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at bigint, run uuid, step text,
    seq bigint, epoch bigint, output bytea
);
CREATE FUNCTION micros(at timestamptz) RETURNS bigint LANGUAGE sql
    RETURN (extract(epoch FROM at) * 1000000)::bigint;
CREATE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    e {schema}.executions;
BEGIN
    e := CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
    INSERT INTO {schema}_seen.audit (
        at, execution, run, epoch, token, owner, state, kept_until, failure, deleted
    ) VALUES (
        {schema}_seen.micros(clock_timestamp()), e.id, e.run_id, e.epoch, e.token, e.owner, e.state,
        {schema}_seen.micros(e.expires_at), e.failure, (TG_OP = 'DELETE')::int
    );
    RETURN NULL;
END $$;
CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON {schema}.executions
    FOR EACH ROW EXECUTE FUNCTION note_change();
CREATE FUNCTION note_checkpoint() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO {schema}_seen.audit_recorded (at, run, step, seq, epoch, output) VALUES (
        {schema}_seen.micros(clock_timestamp()), NEW.run_id, NEW.step, NEW.seq, NEW.epoch, NEW.output
    );
    RETURN NULL;
END $$;
CREATE TRIGGER audit AFTER INSERT ON {schema}.checkpoints
    FOR EACH ROW EXECUTE FUNCTION note_checkpoint();";

const READ_CHANGES: &str = "SELECT
    at, execution, run, epoch, token, owner, state, kept_until, failure, deleted
    FROM audit ORDER BY number";

const READ_RECORDED: &str = "SELECT at, run, step, seq, epoch, output FROM audit_recorded ORDER BY number";

type ChangeRow = (
    i64,
    Uuid,
    Uuid,
    i64,
    Uuid,
    Option<i64>,
    i64,
    Option<i64>,
    Option<Vec<u8>>,
    i64,
);

type RecordedRow = (i64, Uuid, String, i64, i64, Vec<u8>);

impl Ground {
    pub(super) async fn audit(&self) {
        match self {
            Self::Sqlite { url, .. } => {
                let mut connection = sqlite(url).await;
                let text = ON_SQLITE.to_owned()
                    + &trigger_on_sqlite("insert", "new")
                    + &trigger_on_sqlite("update", "new")
                    + &trigger_on_sqlite("delete", "old");
                let done = sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut connection).await;
                done.map(drop)
            }
            Self::Postgres { url, schema, .. } => {
                let mut connection = postgres(url).await;
                let text = ON_POSTGRES.replace("{schema}", schema);
                let done = sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut connection).await;
                done.map(drop)
            }
        }
        .expect("an audit");
    }

    pub(super) async fn changes(&self) -> Vec<Change> {
        let rows: Result<Vec<ChangeRow>, sqlx::Error> = match self {
            Self::Sqlite { url, .. } => {
                let mut connection = sqlite(url).await;
                sqlx::query_as(READ_CHANGES).fetch_all(&mut connection).await
            }
            Self::Postgres { url, .. } => {
                let mut connection = postgres(url).await;
                sqlx::query_as(READ_CHANGES).fetch_all(&mut connection).await
            }
        };
        let rows = rows.expect("the audit").into_iter();
        let changes = rows.map(
            |(at, execution, run, epoch, token, owner, state, kept_until, failure, deleted)| Change {
                at,
                execution,
                run,
                epoch,
                token,
                owner,
                state: i16::try_from(state).expect("a small number"),
                kept_until,
                failure,
                deleted: deleted != 0,
            },
        );
        changes.collect()
    }

    pub(super) async fn recorded(&self) -> Vec<Recorded> {
        let rows: Result<Vec<RecordedRow>, sqlx::Error> = match self {
            Self::Sqlite { url, .. } => {
                let mut connection = sqlite(url).await;
                sqlx::query_as(READ_RECORDED).fetch_all(&mut connection).await
            }
            Self::Postgres { url, .. } => {
                let mut connection = postgres(url).await;
                sqlx::query_as(READ_RECORDED).fetch_all(&mut connection).await
            }
        };
        let rows = rows.expect("the audit").into_iter();
        let recorded = rows.map(|(at, run, step, seq, epoch, output)| Recorded {
            at,
            run,
            step,
            seq,
            epoch,
            output,
        });
        recorded.collect()
    }
}

fn trigger_on_sqlite(change: &str, row: &str) -> String {
    TRIGGER_ON_SQLITE
        .replace("{change}", change)
        .replace("{row_is_old}", if row == "old" { "1" } else { "0" })
        .replace("{row}", row)
}
