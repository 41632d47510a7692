//! Can this server keep what it acknowledges? Looked at once, when a handle opens.
//!
//! A replica, a read-only or an old server is refused. Settings that weaken a promise are reported:
//! those that a session can set for itself are set on our own connections, the others are for the
//! administrator to change.

use keystep::store::StoreError;
use sqlx::{PgConnection, Row};

use crate::error::of_first_connection;
use crate::options::PostgresOptions;
use crate::sql::Sql;

/// The oldest server version that is supported, as PostgreSQL numbers them.
const OLDEST_VERSION: i32 = 150_000;

/// What a handle found out about its server when it was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerReport {
    /// The server's version as PostgreSQL numbers them, for example 150018 for 15.18.
    pub version: i32,
    /// The settings that matter, each with what is wanted.
    pub settings: Vec<Setting>,
    /// Whether a process that dies is seen at once by the end of its session. If not, by its
    /// missing beats only.
    pub liveness_session: bool,
}

/// A setting of the server, as a new connection finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its name in PostgreSQL.
    pub name: String,
    /// Its value; times in the unit of `pg_settings`.
    pub value: String,
    /// What is wanted, and why.
    pub wanted: &'static str,
    /// Whether that is so.
    pub verdict: SettingVerdict,
}

/// What a setting means for the promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettingVerdict {
    /// As wanted.
    Good,
    /// Not as wanted, and set on the store's own connections and transactions.
    SetByUs,
    /// Not as wanted: the promise named beside it does not hold until the setting is changed.
    Weak,
}

/// A setting, what is wanted of it, and how a value is judged.
struct Wish {
    name: &'static str,
    wanted: &'static str,
    is_good: fn(&str) -> bool,
    /// What it means otherwise.
    otherwise: SettingVerdict,
}

const WISHES: [Wish; 10] = [
    Wish {
        name: "fsync",
        wanted: "on: else acknowledged writes are lost when the machine goes down",
        is_good: is_on,
        otherwise: SettingVerdict::Weak,
    },
    Wish {
        name: "full_page_writes",
        wanted: "on: else pages can be torn when the machine goes down",
        is_good: is_on,
        otherwise: SettingVerdict::Weak,
    },
    Wish {
        name: "synchronous_commit",
        wanted: "not off: else acknowledged writes are lost when the server goes down",
        is_good: |value| value != "off",
        otherwise: SettingVerdict::SetByUs,
    },
    Wish {
        name: "default_transaction_isolation",
        wanted: "read committed: else a fence becomes a serialization failure",
        is_good: |value| value == "read committed",
        otherwise: SettingVerdict::SetByUs,
    },
    Wish {
        name: "statement_timeout",
        wanted: "set: bounds a statement whose client is gone",
        is_good: is_set,
        otherwise: SettingVerdict::SetByUs,
    },
    Wish {
        name: "lock_timeout",
        wanted: "set: bounds the wait for a row",
        is_good: is_set,
        otherwise: SettingVerdict::SetByUs,
    },
    Wish {
        name: "idle_in_transaction_session_timeout",
        wanted: "set: a stopped process inside a transaction holds its rows until then",
        is_good: is_set,
        otherwise: SettingVerdict::SetByUs,
    },
    Wish {
        name: "tcp_keepalives_idle",
        wanted: "short: a client behind a dead link keeps its locks until then",
        is_good: |value| {
            value
                .parse()
                .is_ok_and(|seconds: i64| (1..=60).contains(&seconds))
        },
        otherwise: SettingVerdict::SetByUs,
    },
    Wish {
        name: "tcp_user_timeout",
        wanted: "set: bounds sending to a client behind a dead link",
        is_good: is_set,
        otherwise: SettingVerdict::SetByUs,
    },
    Wish {
        name: "client_connection_check_interval",
        wanted: "set: a long statement of a dead client ends",
        is_good: is_set,
        otherwise: SettingVerdict::SetByUs,
    },
];

fn is_on(value: &str) -> bool {
    value == "on"
}

fn is_set(value: &str) -> bool {
    value != "0" && value != "off"
}

/// Looks at the server through a connection on which nothing was set yet.
///
/// # Errors
/// [`StoreError::Refused`] for a server that can not be used.
pub(crate) async fn look(
    connection: &mut PgConnection,
    sql: &Sql,
    options: &PostgresOptions,
) -> Result<ServerReport, StoreError> {
    let names: Vec<&str> = WISHES.iter().map(|wish| wish.name).collect();
    let rows = sqlx::query(sql.server.clone())
        .bind(names)
        .persistent(false)
        .fetch_all(connection)
        .await
        .map_err(|error| of_first_connection(&error))?;
    let mut found = Found::default();
    for row in &rows {
        let read = || -> Result<_, sqlx::Error> {
            Ok((
                row.try_get(0)?,
                row.try_get(1)?,
                row.try_get(2)?,
                (row.try_get(3)?, row.try_get(4)?),
            ))
        };
        let (version, in_recovery, read_only, setting) =
            read().map_err(|error| of_first_connection(&error))?;
        found.version = version;
        found.in_recovery = in_recovery;
        found.read_only = read_only;
        found.settings.push(setting);
    }
    let report = judge(found, options.liveness)?;
    announce(&report);
    Ok(report)
}

/// What the server says of itself.
#[derive(Debug, Clone, Default)]
struct Found {
    version: i32,
    in_recovery: bool,
    read_only: bool,
    settings: Vec<(String, String)>,
}

/// Decides about a server. `sessions` tells whether we can set something for our sessions.
fn judge(found: Found, sessions: bool) -> Result<ServerReport, StoreError> {
    if found.version < OLDEST_VERSION {
        return Err(StoreError::Refused(format!(
            "the server has version {}, and at least {} is needed",
            found.version / 10_000,
            OLDEST_VERSION / 10_000
        )));
    }
    if found.in_recovery {
        return Err(StoreError::Refused(
            "the server is a replica: name the primary".to_owned(),
        ));
    }
    if found.read_only {
        return Err(StoreError::Refused(
            "the server or the role is read-only (default_transaction_read_only)".to_owned(),
        ));
    }
    let settings = found
        .settings
        .into_iter()
        .filter_map(|(name, value)| {
            let wish = WISHES.iter().find(|wish| wish.name == name)?;
            let verdict = match wish.otherwise {
                _ if (wish.is_good)(&value) => SettingVerdict::Good,
                SettingVerdict::SetByUs if !sessions => SettingVerdict::Weak,
                otherwise => otherwise,
            };
            Some(Setting {
                name,
                value,
                wanted: wish.wanted,
                verdict,
            })
        })
        .collect();
    Ok(ServerReport {
        version: found.version,
        settings,
        liveness_session: sessions,
    })
}

/// Says at start what an operator should know.
fn announce(report: &ServerReport) {
    tracing::info!(version = report.version, "PostgreSQL is ready");
    for setting in &report.settings {
        let Setting {
            name,
            value,
            wanted,
            verdict,
        } = setting;
        match verdict {
            SettingVerdict::Good => {}
            SettingVerdict::SetByUs => {
                tracing::debug!(name, value, wanted, "a setting is overridden on our connections");
            }
            SettingVerdict::Weak => {
                tracing::warn!(name, value, wanted, "a setting weakens what is promised");
            }
        }
    }
    if !report.liveness_session {
        tracing::warn!(
            "no liveness session: a process that dies is noticed by its missing beats only, after \
             the beat limit"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Found {
        Found {
            version: 150_018,
            settings: vec![
                ("fsync".to_owned(), "on".to_owned()),
                ("lock_timeout".to_owned(), "0".to_owned()),
            ],
            ..Found::default()
        }
    }

    fn verdicts(report: &ServerReport) -> Vec<SettingVerdict> {
        report.settings.iter().map(|setting| setting.verdict).collect()
    }

    #[test]
    fn a_replica_a_read_only_and_an_old_server_are_refused() {
        let replica = Found {
            in_recovery: true,
            ..good()
        };
        let read_only = Found {
            read_only: true,
            ..good()
        };
        let old = Found {
            version: 140_012,
            ..good()
        };
        for found in [replica, read_only, old] {
            assert!(matches!(judge(found, true), Err(StoreError::Refused(_))));
        }
    }

    #[test]
    fn what_a_session_can_set_is_set_and_what_it_can_not_is_weak() {
        let report = judge(good(), true).expect("usable");
        assert_eq!(verdicts(&report), [SettingVerdict::Good, SettingVerdict::SetByUs]);
        let report = judge(good(), false).expect("usable");
        assert_eq!(
            verdicts(&report),
            [SettingVerdict::Good, SettingVerdict::Weak],
            "behind a transaction pooler nothing can be set for a session"
        );
        let mut unsafe_server = good();
        unsafe_server.settings[0].1 = "off".to_owned();
        let report = judge(unsafe_server, true).expect("usable");
        assert_eq!(verdicts(&report)[0], SettingVerdict::Weak);
    }
}
