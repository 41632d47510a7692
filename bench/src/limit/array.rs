//! One statement for the writes of many executions that go in step.

use anyhow::Result;
use sqlx::{PgConnection, SqlStr};
use uuid::Uuid;

use super::{Bare, STEPS, payload, text};
use crate::ground::Field;
use crate::timing::Caller;

/// Runs `rows` executions at once; one call is one of them all.
pub(crate) struct Array {
    session: PgConnection,
    begins: SqlStr,
    checkpoints: SqlStr,
    finishes: SqlStr,
    rows: usize,
}

impl Array {
    pub(crate) async fn new(field: &Field, rows: usize) -> Result<Self> {
        Ok(Self {
            session: field.session().await?,
            begins: text(include_str!("../../sql/postgres/begins.sql"), &field.name),
            checkpoints: text(include_str!("../../sql/postgres/checkpoints.sql"), &field.name),
            finishes: text(include_str!("../../sql/postgres/finishes.sql"), &field.name),
            rows,
        })
    }
}

impl Caller for Array {
    async fn call(&mut self) -> Result<()> {
        let mut bare: Vec<Bare> = (0..self.rows).map(|_| Bare::fresh()).collect();
        bare.sort_by_key(|bare| bare.id);
        let ids: Vec<Uuid> = bare.iter().map(|bare| bare.id).collect();
        let runs: Vec<Uuid> = bare.iter().map(|bare| bare.run).collect();
        let tokens: Vec<Uuid> = bare.iter().map(|bare| bare.token).collect();
        let keys: Vec<String> = ids.iter().map(Uuid::to_string).collect();
        let output = payload(123_456);
        let outputs = vec![output.as_slice(); self.rows];
        sqlx::query(self.begins.clone())
            .bind(&ids)
            .bind(&keys)
            .bind(&runs)
            .bind(&tokens)
            .bind(&outputs)
            .bind(vec![&[7_u8; 32][..]; self.rows])
            .execute(&mut self.session)
            .await?;
        for (seq, step) in (0_i32..).zip(STEPS) {
            let statement = match step == STEPS[STEPS.len() - 1] {
                true => &self.finishes,
                false => &self.checkpoints,
            };
            let write_ids: Vec<Uuid> = ids.iter().map(|_| Uuid::new_v4()).collect();
            let written = sqlx::query(statement.clone())
                .bind(&ids)
                .bind(&runs)
                .bind(&tokens)
                .bind(step)
                .bind(seq)
                .bind(write_ids)
                .bind(&outputs)
                .execute(&mut self.session)
                .await?;
            anyhow::ensure!(
                written.rows_affected() == self.rows as u64,
                "the fence holds for each"
            );
        }
        Ok(())
    }
}
