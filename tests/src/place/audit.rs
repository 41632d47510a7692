//! How did an execution's row change? A trigger in the database notes it, whoever changed it.

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
}

const ON_SQLITE: &str = "
CREATE TABLE audit (
    number INTEGER PRIMARY KEY AUTOINCREMENT, at bigint, execution blob, run blob, epoch bigint,
    token blob, owner bigint, state bigint
);
CREATE TRIGGER audit_insert AFTER INSERT ON keystep_executions BEGIN
    INSERT INTO audit (at, execution, run, epoch, token, owner, state) VALUES (
        CAST(unixepoch('subsec') * 1000000 AS INTEGER), new.id, new.run_id, new.epoch, new.token,
        new.owner, new.state
    );
END;
CREATE TRIGGER audit_update AFTER UPDATE ON keystep_executions BEGIN
    INSERT INTO audit (at, execution, run, epoch, token, owner, state) VALUES (
        CAST(unixepoch('subsec') * 1000000 AS INTEGER), new.id, new.run_id, new.epoch, new.token,
        new.owner, new.state
    );
END;";

const ON_POSTGRES: &str = "
CREATE TABLE audit (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at bigint, execution uuid, run uuid,
    epoch bigint, token uuid, owner bigint, state bigint
);
CREATE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO {schema}_seen.audit (at, execution, run, epoch, token, owner, state) VALUES (
        (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, NEW.id, NEW.run_id, NEW.epoch,
        NEW.token, NEW.owner, NEW.state
    );
    RETURN NULL;
END $$;
CREATE TRIGGER audit AFTER INSERT OR UPDATE ON {schema}.executions
    FOR EACH ROW EXECUTE FUNCTION note_change();";

const READ: &str = "SELECT at, execution, run, epoch, token, owner, state FROM audit ORDER BY number";

type Row = (i64, Uuid, Uuid, i64, Uuid, Option<i64>, i64);

impl Ground {
    pub(super) async fn audit(&self) {
        match self {
            Self::Sqlite { url, .. } => {
                let mut connection = sqlite(url).await;
                sqlx::raw_sql(ON_SQLITE).execute(&mut connection).await.map(drop)
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
        let rows: Result<Vec<Row>, sqlx::Error> = match self {
            Self::Sqlite { url, .. } => {
                let mut connection = sqlite(url).await;
                sqlx::query_as(READ).fetch_all(&mut connection).await
            }
            Self::Postgres { url, .. } => {
                let mut connection = postgres(url).await;
                sqlx::query_as(READ).fetch_all(&mut connection).await
            }
        };
        let rows = rows.expect("the audit").into_iter();
        let changes = rows.map(|(at, execution, run, epoch, token, owner, state)| Change {
            at,
            execution,
            run,
            epoch,
            token,
            owner,
            state: i16::try_from(state).expect("a small number"),
        });
        changes.collect()
    }
}
