//! How does a server get a second one that follows it? A copy of its data that streams its log, until
//! it is promoted.

use anyhow::Result;

use super::{Cluster, PATIENCE};

impl Cluster {
    /// Copies a running server and starts the copy as its standby, which is known to the primary by
    /// `name`. The primary waits for it only when its `synchronous_standby_names` says so.
    ///
    /// # Errors
    /// When the primary can not be copied or the standby does not start.
    pub fn standby_of(primary: &Self, name: &str) -> Result<Self> {
        Self::start_with(None, |standby| {
            let mut copy = standby.program("pg_basebackup");
            copy.args(["--checkpoint=fast", "--no-sync", "--wal-method=stream"])
                .args(["--write-recovery-conf", "--dbname"])
                .arg(format!(
                    "host=127.0.0.1 port={} user=postgres application_name={name}",
                    primary.port
                ))
                .arg("--pgdata")
                .arg(standby.data());
            standby.succeed(&mut copy)
        })
    }

    /// Makes a standby the primary, and returns when it takes writes.
    ///
    /// # Errors
    /// When it is no standby, or does not get there within a minute.
    pub fn promote(&self) -> Result<()> {
        let mut promote = self.program("pg_ctl");
        promote
            .args(["promote", "-w", "-t"])
            .arg(PATIENCE.as_secs().to_string())
            .arg("-D")
            .arg(self.data());
        self.succeed(&mut promote)
    }
}
