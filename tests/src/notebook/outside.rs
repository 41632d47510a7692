//! What do others outside know? A partner that takes charges, and a post that takes messages.

use super::{Notebook, either};
use crate::protocol::Attempt;

/// How often a run was charged, and by which attempt. The partner knows the highest epoch that has
/// charged or asked, and refuses a lower one: what asks can rely on the answer.
pub(super) const PARTNER_TABLE: &str = "CREATE TABLE partner (
    run text PRIMARY KEY, execution text NOT NULL, epoch bigint NOT NULL, charges bigint NOT NULL,
    nonce text
)";

/// Each delivery of a message; deliveries are ordered by time.
pub(super) const POST_TABLE: &str = "CREATE TABLE post (
    delivery text PRIMARY KEY, id text NOT NULL, execution text NOT NULL, payload text NOT NULL
)";

const CHARGE: &str = "INSERT INTO partner (run, execution, epoch, charges, nonce) VALUES ($1, $2, $3, 1, $4)
    ON CONFLICT (run) DO UPDATE
    SET epoch = excluded.epoch, charges = partner.charges + 1, nonce = excluded.nonce
    WHERE partner.epoch <= excluded.epoch";

const ASK: &str = "INSERT INTO partner (run, execution, epoch, charges) VALUES ($1, $2, $3, 0)
    ON CONFLICT (run) DO UPDATE
    SET epoch = CASE WHEN partner.epoch > excluded.epoch THEN partner.epoch ELSE excluded.epoch END
    RETURNING nonce";

const CHARGED: &str = "SELECT run, execution, charges, nonce FROM partner WHERE charges > 0";

const POST: &str = "INSERT INTO post (delivery, id, execution, payload) VALUES ($1, $2, $3, $4)";

const POSTED: &str = "SELECT id, execution, payload FROM post ORDER BY delivery";

/// What the partner knows of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charged {
    /// The run.
    pub run: String,
    /// Its execution.
    pub execution: String,
    /// How often it was charged.
    pub charges: i64,
    /// The attempt that has charged last.
    pub nonce: String,
}

/// A message as the post got it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted {
    /// The message's id.
    pub id: String,
    /// The execution that sent it.
    pub execution: String,
    /// The payload: the nonce of the attempt that sent it.
    pub payload: String,
}

impl Notebook {
    /// Charges a run; false when a later owner has asked or charged before.
    ///
    /// # Errors
    /// When the database does not answer; it may have been charged.
    pub async fn charge(&self, attempt: &Attempt) -> Result<bool, sqlx::Error> {
        let rows = either!(self, pool => {
            let done = sqlx::query(CHARGE)
                .bind(&attempt.run)
                .bind(&attempt.execution)
                .bind(attempt.epoch)
                .bind(&attempt.nonce)
                .execute(pool)
                .await?;
            done.rows_affected()
        });
        Ok(rows == 1)
    }

    /// The attempt that has charged a run. From now on no owner before this one can.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn ask(&self, asks: &Attempt) -> Result<Option<String>, sqlx::Error> {
        either!(self, pool => {
            let asked = sqlx::query_scalar(ASK)
                .bind(&asks.run)
                .bind(&asks.execution)
                .bind(asks.epoch);
            asked.fetch_one(pool).await
        })
    }

    /// All runs that were charged.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn charged(&self) -> Result<Vec<Charged>, sqlx::Error> {
        let rows: Vec<(String, String, i64, String)> =
            either!(self, pool => sqlx::query_as(CHARGED).fetch_all(pool).await?);
        let charged = rows.into_iter().map(|(run, execution, charges, nonce)| Charged {
            run,
            execution,
            charges,
            nonce,
        });
        Ok(charged.collect())
    }

    /// Takes a message.
    ///
    /// # Errors
    /// When the database does not answer; it may have been taken.
    pub async fn post(&self, message: &Posted) -> Result<(), sqlx::Error> {
        let delivery = uuid::Uuid::now_v7().to_string();
        either!(self, pool => {
            let done = sqlx::query(POST)
                .bind(&delivery)
                .bind(&message.id)
                .bind(&message.execution)
                .bind(&message.payload);
            done.execute(pool).await.map(drop)
        })
    }

    /// All messages in the order in which they were delivered, each as often as it was.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn posted(&self) -> Result<Vec<Posted>, sqlx::Error> {
        let rows: Vec<(String, String, String)> =
            either!(self, pool => sqlx::query_as(POSTED).fetch_all(pool).await?);
        let posted = rows.into_iter().map(|(id, execution, payload)| Posted {
            id,
            execution,
            payload,
        });
        Ok(posted.collect())
    }
}
