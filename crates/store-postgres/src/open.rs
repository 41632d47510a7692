//! How is a store opened? By URL or over a pool that is there already; never changing a table.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use keystep::random;
use keystep::store::StoreError;
use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgPool};

use crate::connect::{Connector, read_url};
use crate::error::of_first_connection;
use crate::lanes::Lanes;
use crate::liveness::Liveness;
use crate::migrate::{self, Look};
use crate::options::{PostgresOptions, SchemaName};
use crate::server::{self, ServerReport};
use crate::sql::Sql;
use crate::store::{Inner, PostgresStore};

impl PostgresStore {
    /// Opens the store of a database, with default options. Creates and changes no table; see
    /// [`migrate`](Self::migrate).
    ///
    /// # Errors
    /// [`StoreError::Refused`] for what waiting does not mend: a URL or password that is wrong, a
    /// replica, a server older than version 15, tables of a newer format. [`StoreError::Unavailable`]
    /// when the server can not be reached now.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        Self::connect_with(url, PostgresOptions::default()).await
    }

    /// Opens the store of a database.
    ///
    /// # Errors
    /// As [`connect`](Self::connect), and [`StoreError::Refused`] for options that can not be used.
    pub async fn connect_with(url: &str, options: PostgresOptions) -> Result<Self, StoreError> {
        Self::open(read_url(url)?, None, options).await
    }

    /// Opens the store of the database that a pool leads to. The steps' own transactions come from
    /// this pool as it is, with its hooks and its search path; the store's own statements run on
    /// connections of its own, opened with the pool's connect options.
    ///
    /// # Errors
    /// As [`connect_with`](Self::connect_with).
    pub async fn from_pool(pool: PgPool, options: PostgresOptions) -> Result<Self, StoreError> {
        let connection = PgConnectOptions::clone(&pool.connect_options());
        Self::open(connection, Some(pool), options).await
    }

    /// Brings the tables to the format that this program needs: creates the schema and its tables,
    /// or changes those of an older program. Any number of processes may call it at the same time.
    /// Where nothing is to be done it needs no right to create anything.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when the role may not do it, or the tables belong to a newer program.
    /// [`StoreError::Unavailable`] or [`StoreError::Unknown`]: call it again.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let inner = &self.inner;
        migrate::migrate(&inner.connector, &inner.sql, &inner.schema).await?;
        inner.usable.store(true, Ordering::Release);
        Ok(())
    }

    /// What was found out about the server when the store was opened.
    pub fn report(&self) -> &ServerReport {
        &self.inner.report
    }

    /// The statements that this store runs, by name, with the schema filled in: for those who want
    /// to find them in `pg_stat_statements` or look at their plans.
    pub fn statements(&self) -> Vec<(&'static str, &str)> {
        self.inner.sql.all()
    }

    async fn open(
        connection: PgConnectOptions,
        pool: Option<PgPool>,
        options: PostgresOptions,
    ) -> Result<Self, StoreError> {
        let schema = SchemaName::new(&options.schema)?;
        let sql = Arc::new(Sql::new(&schema));
        let connector = Connector::new(connection, &options, &sql);
        let mut first = connector
            .open_plain()
            .await
            .map_err(|error| of_first_connection(&error))?;
        let report = server::look(&mut first, &sql, &options).await?;
        // Missing or older tables are for `migrate` to mend; until then each call is refused.
        let look = migrate::look(&mut first, &sql, &schema).await?;
        let usable = matches!(look, Look::Usable);
        let _the_answers_are_there = first.close().await;

        let inner = Inner {
            instance: random::unpredictable(),
            readers: connector.pool_for_reading(options.readers),
            transactions: pool.unwrap_or_else(|| connector.pool_for_steps(options.transactions)),
            lanes: Lanes::start(&connector, &sql, &options),
            liveness: Liveness::new(&connector, &sql, &schema, &options),
            usable: AtomicBool::new(usable),
            options,
            schema,
            sql,
            connector,
            report,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }
}
