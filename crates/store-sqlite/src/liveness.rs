//! Does another process still live? Its lock file says so, and the kernel keeps it honest.
//!
//! Each worker holds an exclusive lock on a file of its own in a folder beside the database. The
//! kernel frees the lock when the process ends, however it ends. Observers try a *shared* lock, so
//! that several of them do not disturb each other: getting it means that nobody lives behind the
//! file. A process that is stopped keeps its lock; its beat in the database stands still instead.
//!
//! The calls here touch one small local file each and never wait, so they run in place.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use keystep::execution::WorkerId;

/// How often a session is tried when somebody looks at the file at the same moment.
const TRIES: usize = 50;

/// The liveness sessions of one database, and this handle's own.
#[derive(Debug)]
pub(crate) struct Sessions {
    folder: PathBuf,
    own: Mutex<Option<Session>>,
}

/// A held lock file. Dropping it frees the lock and removes the file.
#[derive(Debug)]
struct Session {
    worker: WorkerId,
    name: String,
    path: PathBuf,
    file: File,
}

impl Sessions {
    /// Sessions of the database at this path.
    pub(crate) fn beside(database: &Path) -> Self {
        let mut folder = OsString::from(database);
        folder.push(".workers");
        Self {
            folder: folder.into(),
            own: Mutex::new(None),
        }
    }

    /// Opens the session of a worker, in place of any other of this handle. The name is for people
    /// who look into the file.
    ///
    /// # Errors
    /// The file could not be made or locked.
    pub(crate) fn open(&self, worker: WorkerId, name: &str) -> io::Result<()> {
        let mut own = self.own();
        let stands = own
            .as_ref()
            .is_some_and(|session| session.worker == worker && session.is_on_disk());
        if !stands {
            *own = Some(self.lock_new(worker, name)?);
        }
        Ok(())
    }

    /// Opens the session of a worker anew if this handle holds none or its file was removed.
    /// Another worker's session stays.
    ///
    /// # Errors
    /// The file could not be made or locked; the next beat tries again.
    pub(crate) fn keep_open(&self, worker: WorkerId) -> io::Result<()> {
        let mut own = self.own();
        let stands = own
            .as_ref()
            .is_some_and(|session| session.worker != worker || session.is_on_disk());
        if !stands {
            let name = own.as_ref().map_or("", |session| &session.name);
            let session = self.lock_new(worker, name)?;
            *own = Some(session);
        }
        Ok(())
    }

    /// Closes the session of a worker if this handle holds it.
    pub(crate) fn close(&self, worker: WorkerId) {
        let mut own = self.own();
        if own.as_ref().is_some_and(|session| session.worker == worker) {
            *own = None;
        }
    }

    /// Whether the session of another worker stands; `None` when the file system does not tell.
    pub(crate) fn stands(&self, worker: WorkerId) -> Option<bool> {
        let file = match File::open(self.path(worker)) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Some(false),
            Err(_unreadable) => return None,
        };
        match file.try_lock_shared() {
            Ok(()) => Some(false),
            Err(TryLockError::WouldBlock) => Some(true),
            Err(TryLockError::Error(_unsupported)) => None,
        }
    }

    /// Removes the file of a worker that was declared dead. A stopped process may still hold the
    /// lock of the removed file; it counts for nothing.
    pub(crate) fn forget(&self, worker: WorkerId) {
        // A file that is gone already, or that another user owns, is no harm: nobody asks for it.
        let _gone = fs::remove_file(self.path(worker));
    }

    /// Removes files that nobody holds and that belong to none of the live workers: left by
    /// processes that died before anybody could see them.
    pub(crate) fn sweep(&self, live: &[WorkerId]) {
        let Ok(entries) = fs::read_dir(&self.folder) else {
            return;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            let Some(worker) = worker_of(&path) else {
                continue;
            };
            if live.contains(&worker) {
                continue;
            }
            // Removing it under its lock tells a process that is just making it: see `lock_new`.
            if let Ok(file) = File::open(&path)
                && file.try_lock().is_ok()
            {
                let _gone = fs::remove_file(&path);
            }
        }
    }

    /// Makes and locks the file. Somebody who sweeps may remove it between the two, or observe it
    /// at that moment: then it is made again.
    fn lock_new(&self, worker: WorkerId, name: &str) -> io::Result<Session> {
        fs::create_dir_all(&self.folder)?;
        let path = self.path(worker);
        for _try in 0..TRIES {
            let mut options = OpenOptions::new();
            let file = options.read(true).append(true).create(true).open(&path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    std::thread::yield_now();
                    continue;
                }
                Err(TryLockError::Error(error)) => return Err(error),
            }
            let mut session = Session {
                worker,
                name: name.to_owned(),
                path: path.clone(),
                file,
            };
            if session.is_on_disk() {
                session.file.write_all(name.as_bytes())?;
                return Ok(session);
            }
        }
        Err(io::Error::new(
            ErrorKind::WouldBlock,
            "somebody else holds the lock file of this worker",
        ))
    }

    fn path(&self, worker: WorkerId) -> PathBuf {
        self.folder.join(format!("{worker}.lock"))
    }

    fn own(&self) -> MutexGuard<'_, Option<Session>> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    /// Whether the locked file is still the one that observers find.
    #[cfg(unix)]
    fn is_on_disk(&self) -> bool {
        use std::os::unix::fs::MetadataExt;
        let identity = |data: fs::Metadata| (data.dev(), data.ino());
        match (fs::metadata(&self.path), self.file.metadata()) {
            (Ok(found), Ok(held)) => identity(found) == identity(held),
            _ => false,
        }
    }

    /// Whether there is a file; a locked one can not be removed on other systems.
    #[cfg(not(unix))]
    fn is_on_disk(&self) -> bool {
        self.path.exists()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.is_on_disk() {
            let _gone = fs::remove_file(&self.path);
        }
    }
}

fn worker_of(path: &Path) -> Option<WorkerId> {
    let hexadecimal = path.file_name()?.to_str()?.strip_suffix(".lock")?;
    let number = i64::from_str_radix(hexadecimal, 16).ok()?;
    Some(WorkerId(number))
}
