//! How is a connection opened, and what is set on it? One door for the handle's own connections.
//!
//! Every wait has an end: opening has a time limit here, and what runs on the connection has one on
//! both sides, because a client that is cut off learns nothing and sqlx sends no keep-alives.

use std::str::FromStr;
use std::time::Duration;

use futures::future::BoxFuture;
use keystep::store::StoreError;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection, SqlStr};

use crate::options::PostgresOptions;
use crate::sql::Sql;

/// How long a step's transaction may be idle on a connection of our own.
const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(10);

/// Opens connections to one database with one set of options.
#[derive(Clone)]
pub(crate) struct Connector {
    /// For statements of ours, which are not logged one by one.
    options: PgConnectOptions,
    /// For statements of the user's steps.
    options_of_steps: PgConnectOptions,
    timeout: Duration,
    settings: Option<Settings>,
}

/// What is set on a connection, as text that `set_config` takes.
#[derive(Clone)]
struct Settings {
    session: SqlStr,
    check: SqlStr,
    statement_timeout: String,
    lock_timeout: String,
}

impl Connector {
    /// For the database that `connection` names.
    pub(crate) fn new(connection: PgConnectOptions, options: &PostgresOptions, sql: &Sql) -> Self {
        let mut connection = connection;
        if connection.get_application_name().is_none() {
            connection = connection.application_name("keystep");
        }
        let settings = options.liveness.then(|| Settings {
            session: sql.session.clone(),
            check: sql.session_check.clone(),
            statement_timeout: millis(options.deadline * 4 / 5),
            lock_timeout: millis(options.deadline / 5),
        });
        Self {
            options: connection.clone().disable_statement_logging(),
            options_of_steps: connection,
            timeout: options.connect_timeout,
            settings,
        }
    }

    /// The same database, with other bounds on the server's side.
    pub(crate) fn with_bounds(&self, statement: Duration, lock: Duration) -> Self {
        let mut other = self.clone();
        if let Some(settings) = &mut other.settings {
            settings.statement_timeout = millis(statement);
            settings.lock_timeout = millis(lock);
        }
        other
    }

    /// Opens a connection as the role finds it, without settings of ours.
    pub(crate) async fn open_plain(&self) -> Result<PgConnection, sqlx::Error> {
        tokio::time::timeout(self.timeout, self.options.connect())
            .await
            .unwrap_or_else(|_elapsed| Err(timed_out()))
    }

    /// Opens a connection with our settings.
    pub(crate) async fn open(&self) -> Result<PgConnection, sqlx::Error> {
        let opening = async {
            let mut connection = self.options.connect().await?;
            self.set_up(&mut connection).await?;
            Ok(connection)
        };
        tokio::time::timeout(self.timeout, opening)
            .await
            .unwrap_or_else(|_elapsed| Err(timed_out()))
    }

    /// A pool of connections with our settings, for statements of ours.
    pub(crate) fn pool_for_reading(&self, size: u32) -> PgPool {
        let connector = self.clone();
        self.pool_options(size)
            .after_connect(move |connection, _about| {
                let connector = connector.clone();
                let set_up: BoxFuture<'_, _> = Box::pin(async move { connector.set_up(connection).await });
                set_up
            })
            .connect_lazy_with(self.options.clone())
    }

    /// A pool of connections as the role finds them, for statements of the user's steps.
    pub(crate) fn pool_for_steps(&self, size: u32) -> PgPool {
        let limit = self.timeout;
        self.pool_options(size)
            // The driver asks each connection that comes back whether it still stands, and would
            // wait for the answer of a dead link.
            .after_release(move |connection, _about| {
                let answer: BoxFuture<'_, _> = Box::pin(async move {
                    match tokio::time::timeout(limit, connection.ping()).await {
                        Ok(answer) => answer.map(|()| true),
                        Err(_elapsed) => Ok(false),
                    }
                });
                answer
            })
            .connect_lazy_with(self.options_of_steps.clone())
    }

    fn pool_options(&self, size: u32) -> PgPoolOptions {
        PgPoolOptions::new()
            .max_connections(size.max(1))
            .acquire_timeout(self.timeout)
    }

    async fn set_up(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let Some(settings) = &self.settings else {
            return Ok(());
        };
        sqlx::query(settings.session.clone())
            .bind(settings.statement_timeout.clone())
            .bind(settings.lock_timeout.clone())
            .bind(millis(IDLE_IN_TRANSACTION))
            .persistent(false)
            .execute(&mut *connection)
            .await?;
        let checked = sqlx::query(settings.check.clone())
            .persistent(false)
            .execute(connection)
            .await;
        match checked {
            Err(sqlx::Error::Database(refused)) => {
                tracing::debug!(%refused, "the platform can not check on clients");
                Ok(())
            }
            other => other.map(|_set| ()),
        }
    }
}

/// Reads a connection string. Nothing of it ever gets into an error or a log line.
pub(crate) fn read_url(url: &str) -> Result<PgConnectOptions, StoreError> {
    PgConnectOptions::from_str(&without_strange_parameters(url)).map_err(|_quotes_the_url| {
        StoreError::Refused(
            "the database URL can not be read; it looks like \
             postgres://user:password@host:port/database"
                .to_owned(),
        )
    })
}

/// Parameters that the driver knows. It would log others with their values.
const PARAMETERS: [&str; 17] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
];

fn without_strange_parameters(url: &str) -> String {
    let Some((address, parameters)) = url.split_once('?') else {
        return url.to_owned();
    };
    let known = |parameter: &&str| {
        let name = parameter.split('=').next().unwrap_or_default();
        let known = PARAMETERS.contains(&name) || name.starts_with("options");
        if !known {
            tracing::warn!("a parameter of the database URL is not known and is left out");
        }
        known
    };
    let kept: Vec<&str> = parameters.split('&').filter(known).collect();
    format!("{address}?{}", kept.join("&"))
}

fn millis(time: Duration) -> String {
    time.as_millis().max(1).to_string()
}

fn timed_out() -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::new(
        std::io::ErrorKind::TimedOut,
        "no connection within the time limit",
    ))
}
