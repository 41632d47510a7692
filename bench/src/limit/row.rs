//! One statement for each write, on a connection of the caller's own.

use anyhow::Result;
use sqlx::sqlite::{SqliteConnectOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, PgConnection, SqlStr, SqliteConnection};
use uuid::Uuid;

use super::{Bare, STEPS, payload, text};
use crate::ground::Field;
use crate::timing::Caller;

/// On PostgreSQL.
pub(crate) struct OnPostgres {
    session: PgConnection,
    begin: SqlStr,
    checkpoint: SqlStr,
    finish: SqlStr,
    number: u64,
}

impl OnPostgres {
    pub(crate) async fn new(field: &Field) -> Result<Self> {
        Ok(Self {
            session: field.session().await?,
            begin: text(include_str!("../../sql/postgres/begin.sql"), &field.name),
            checkpoint: text(include_str!("../../sql/postgres/checkpoint.sql"), &field.name),
            finish: text(include_str!("../../sql/postgres/finish.sql"), &field.name),
            number: 0,
        })
    }
}

impl Caller for OnPostgres {
    async fn call(&mut self) -> Result<()> {
        self.number += 1;
        let bare = Bare::fresh();
        let output = payload(self.number);
        sqlx::query(self.begin.clone())
            .bind(bare.id)
            .bind(bare.id.to_string())
            .bind(bare.run)
            .bind(bare.token)
            .bind(&output)
            .bind(&[7_u8; 32][..])
            .execute(&mut self.session)
            .await?;
        for (seq, step) in (0_i32..).zip(STEPS) {
            let statement = match step == STEPS[STEPS.len() - 1] {
                true => &self.finish,
                false => &self.checkpoint,
            };
            let written = sqlx::query(statement.clone())
                .bind(bare.id)
                .bind(bare.run)
                .bind(bare.token)
                .bind(step)
                .bind(seq)
                .bind(Uuid::new_v4())
                .bind(&output)
                .execute(&mut self.session)
                .await?;
            anyhow::ensure!(written.rows_affected() == 1, "the fence holds");
        }
        Ok(())
    }
}

/// On SQLite, where there is one writer.
pub(crate) struct OnSqlite {
    conn: SqliteConnection,
    checkpoint: SqlStr,
    finish: SqlStr,
    number: u64,
}

impl OnSqlite {
    pub(crate) async fn new(field: &Field) -> Result<Self> {
        let conn = SqliteConnectOptions::new()
            .filename(&field.place)
            .synchronous(SqliteSynchronous::Full)
            .disable_statement_logging()
            .connect()
            .await?;
        let checkpoint = include_str!("../../sql/sqlite/checkpoint.sql");
        let finish = include_str!("../../sql/sqlite/finish.sql");
        let finish = format!("BEGIN IMMEDIATE; {checkpoint}; {finish}; COMMIT");
        Ok(Self {
            conn,
            checkpoint: text(checkpoint, ""),
            finish: text(&finish, ""),
            number: 0,
        })
    }
}

impl Caller for OnSqlite {
    async fn call(&mut self) -> Result<()> {
        self.number += 1;
        let bare = Bare::fresh();
        let output = payload(self.number);
        sqlx::query(include_str!("../../sql/sqlite/begin.sql"))
            .bind(bare.id)
            .bind(bare.id.to_string())
            .bind(bare.run)
            .bind(bare.token)
            .bind(&output)
            .bind(&[7_u8; 32][..])
            .execute(&mut self.conn)
            .await?;
        for (seq, step) in (0_i32..).zip(STEPS) {
            let statement = match step == STEPS[STEPS.len() - 1] {
                true => &self.finish,
                false => &self.checkpoint,
            }
            .clone();
            sqlx::query(statement)
                .bind(bare.id)
                .bind(bare.run)
                .bind(bare.token)
                .bind(step)
                .bind(seq)
                .bind(Uuid::new_v4())
                .bind(&output)
                .execute(&mut self.conn)
                .await?;
        }
        Ok(())
    }
}
