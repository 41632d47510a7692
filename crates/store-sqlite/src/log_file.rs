//! Is the write-ahead log that this process writes still the one that others find? SQLite keeps the
//! file open and does not notice when somebody removes it: what is written afterwards is in a file
//! without a name, and gone when the process dies. So it is looked at around each transaction.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The log of a database, as this process found it. From then on it is held open, so that nobody who
/// follows the rules removes it.
#[derive(Debug, Clone)]
pub(crate) struct LogFile {
    path: PathBuf,
    /// `None` until there is one.
    opened: Arc<Mutex<Option<Identity>>>,
}

impl LogFile {
    /// Of the database in this file, which is open.
    pub(crate) fn of(database: &Path) -> Self {
        let mut path = database.as_os_str().to_owned();
        path.push("-wal");
        let path = PathBuf::from(path);
        let opened = Arc::new(Mutex::new(identity(&path)));
        Self { path, opened }
    }

    /// Looks whether it stands, or says why not. To be called while a connection is open that has
    /// begun a transaction before: then there is a log.
    pub(crate) fn check(&self) -> Result<(), String> {
        let found = identity(&self.path);
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if opened.is_none() {
            *opened = found;
        }
        if found.is_some() && found == *opened {
            return Ok(());
        }
        Err(format!(
            "{} was removed or replaced while it was in use: what it held may be lost. End all \
             processes that use this database, then start them again",
            self.path.display()
        ))
    }
}

/// What tells a file from another one of the same name: its device and its number there.
type Identity = (u64, u64);

#[cfg(unix)]
fn identity(path: &Path) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt;
    let data = std::fs::metadata(path).ok()?;
    Some((data.dev(), data.ino()))
}

/// Whether there is a file; an open one can not be removed on other systems.
#[cfg(not(unix))]
fn identity(path: &Path) -> Option<Identity> {
    path.exists().then_some((0, 0))
}
