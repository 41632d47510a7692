//! Where does the demo play, and what is left of it? A temporary folder, and on PostgreSQL two
//! schemas with random names; nothing is left, and nothing that was there is touched or counted.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::ensure;
use tempfile::TempDir;

use crate::database::{Database, Schemas};
use crate::ledger::Ledger;
use crate::provider::Entry;
use crate::receipts::SentReceipt;
use crate::service::open_database;
use crate::shop::drop_schema;
use crate::tokens::token_for;

use super::callers::Customer;

/// The demo's own database and folder.
pub(super) struct Place {
    pub(super) database: Database,
    pub(super) schemas: Schemas,
    pub(super) customer: Customer,
    folder: TempDir,
}

/// What was counted in the tables and ledgers.
pub(super) struct Counted {
    pub(super) orders: i64,
    pub(super) reservations: i64,
    pub(super) authorizations: usize,
    pub(super) receipts: usize,
}

impl Place {
    pub(super) fn new(database: Option<Database>) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("order-example-demo-").tempdir()?;
        let database = database.unwrap_or_else(|| Database::Sqlite(folder.path().join("orders.db")));
        if let Database::Sqlite(file) = &database {
            ensure!(
                !file.exists(),
                "{} exists already: the demo counts every row, so give it a new file",
                file.display()
            );
        }
        let random = keystep::random::unpredictable().as_u64_pair().0;
        let schema = |name: String| name.parse().map_err(anyhow::Error::msg);
        let schemas = Schemas {
            store_schema: schema(format!("keystep_demo_{random:016x}"))?,
            shop_schema: schema(format!("keystep_demo_{random:016x}_shop"))?,
        };
        let (token, line) = token_for("customer")?;
        let place = Self {
            database,
            schemas,
            customer: Customer { token },
            folder,
        };
        fs::write(place.tokens(), line)?;
        Ok(place)
    }

    /// Whom the services let in.
    pub(super) fn tokens(&self) -> PathBuf {
        self.folder.path().join("tokens")
    }

    /// The provider's ledger.
    pub(super) fn payments(&self) -> PathBuf {
        self.folder.path().join("payments.jsonl")
    }

    /// The services' ledger of receipts.
    pub(super) fn receipts(&self) -> PathBuf {
        self.folder.path().join("receipts.jsonl")
    }

    /// The services' ledger of messages.
    pub(super) fn events(&self) -> PathBuf {
        self.folder.path().join("events.jsonl")
    }

    /// Where a service writes its log.
    pub(super) fn log(&self, name: &str) -> anyhow::Result<Stdio> {
        let file = self.folder.path().join(format!("{name}.log"));
        Ok(File::create(file)?.into())
    }

    /// Adds the end of each service's log to an error.
    pub(super) fn with_logs(&self, error: anyhow::Error) -> anyhow::Error {
        let mut text = format!("{error:#}");
        for name in ["service 1", "service 2", "service 3"] {
            let file = self.folder.path().join(format!("{name}.log"));
            let log = fs::read_to_string(file).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            if !lines.is_empty() {
                let last = &lines[lines.len().saturating_sub(20)..];
                text.push_str(&format!("\n--- the end of {name}'s log\n{}", last.join("\n")));
            }
        }
        anyhow::Error::msg(text)
    }

    /// Counts what happened: rows in the tables, lines in the ledgers.
    pub(super) async fn count(&self) -> anyhow::Result<Counted> {
        let (_, shop, _) = open_database(&self.database, &self.schemas).await?;
        let counts = shop.counts().await?;
        let payments = Ledger::<Entry>::read(&self.payments())?;
        let authorized = |entry: &&Entry| matches!(entry, Entry::Authorization(one) if one.approved);
        let receipts = Ledger::<SentReceipt>::read(&self.receipts())?;
        Ok(Counted {
            orders: counts.orders,
            reservations: counts.reservations,
            authorizations: payments.iter().filter(authorized).count(),
            receipts: receipts.len(),
        })
    }

    /// Removes the schemas and the folder. A file that the user named stays, to be looked at.
    pub(super) async fn clean_up(self) -> anyhow::Result<()> {
        if let Database::Postgres(url) = &self.database {
            for schema in [&self.schemas.store_schema, &self.schemas.shop_schema] {
                drop_schema(url, schema).await?;
            }
        }
        Ok(self.folder.close()?)
    }
}
