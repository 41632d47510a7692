//! Which database? One URL chooses the engine's store and the shop's tables together.

use std::fmt;
use std::path::PathBuf;

use anyhow::bail;

use crate::shop::SchemaName;

/// Where everything is kept. Its `Debug` and `Display` show no password.
#[derive(Clone, PartialEq, Eq)]
pub enum Database {
    /// A file on this machine.
    Sqlite(PathBuf),
    /// A server, by its URL.
    Postgres(String),
}

/// Which PostgreSQL schemas to use; without meaning on SQLite.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct Schemas {
    /// PostgreSQL schema of the engine's tables.
    #[arg(long, default_value = "keystep", value_name = "NAME")]
    pub store_schema: SchemaName,
    /// PostgreSQL schema of the shop's tables.
    #[arg(long, default_value = "shop", value_name = "NAME")]
    pub shop_schema: SchemaName,
}

impl Database {
    /// Reads a URL.
    ///
    /// # Errors
    ///
    /// What to write instead. The URL itself is not repeated, since it may hold a password.
    pub fn from_url(url: &str) -> anyhow::Result<Self> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Ok(Self::Postgres(url.to_owned()));
        }
        let Some(path) = url.strip_prefix("sqlite:") else {
            bail!("the database URL must be sqlite:PATH or postgres://USER@HOST/DATABASE");
        };
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.is_empty() || path.starts_with(':') || path.contains('?') {
            bail!("the database URL must name a file, such as sqlite:./orders.db");
        }
        Ok(Self::Sqlite(path.into()))
    }

    /// The URL that names this database.
    pub fn url(&self) -> String {
        match self {
            Self::Sqlite(file) => format!("sqlite:{}", file.display()),
            Self::Postgres(url) => url.clone(),
        }
    }

    /// `sqlite` or `postgres`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "sqlite",
            Self::Postgres(_) => "postgres",
        }
    }
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(file) => write!(f, "SQLite in {}", file.display()),
            Self::Postgres(_) => f.write_str("PostgreSQL"),
        }
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_chooses_the_database() {
        for (url, file) in [
            ("sqlite:./orders.db", "./orders.db"),
            ("sqlite:///tmp/orders.db", "/tmp/orders.db"),
            ("sqlite://orders.db", "orders.db"),
        ] {
            let database = Database::from_url(url).expect("a file");
            assert_eq!(database, Database::Sqlite(file.into()), "{url}");
        }
        let url = "postgres://me:secret@localhost/shop";
        let server = Database::from_url(url).expect("a server");
        assert_eq!(server, Database::Postgres(url.into()));
        assert!(!format!("{server} {server:?}").contains("secret"));
    }

    #[test]
    fn what_can_not_be_shared_or_is_unknown_is_refused() {
        for url in [
            "sqlite::memory:",
            "sqlite:",
            "sqlite://",
            "mysql://me:secret@x",
            "orders.db",
        ] {
            let error = Database::from_url(url).expect_err(url);
            assert!(!error.to_string().contains("secret"));
        }
    }
}
