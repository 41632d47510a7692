//! How does a program remember an effect for ever, once per key, in a plain file?
//!
//! A [`Ledger`] is a file of JSON lines that only grows. [`Ledger::append_once`] takes the file's
//! lock, reads what others have appended meanwhile, and adds a line only if no line has the key
//! yet; the answer comes after `fsync`. So the same key can be sent any number of times, by any
//! number of processes, before and after any crash, and there is one line. [`Ledger::set`] gives a key
//! another entry, and [`Ledger::clear`] forgets all: both are lines too, so that others see them.
//!
//! A crash in the middle of a write leaves a last line without its line feed. Nobody was told
//! about it, so the next writer cuts it off.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Values;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// An append-only file that holds one entry per key. Cheap to clone.
pub struct Ledger<T> {
    book: Arc<Mutex<Book<T>>>,
}

/// What [`Ledger::append_once`] found or made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded<T> {
    /// The one entry of the key.
    pub entry: T,
    /// Whether this call added it.
    pub added: bool,
}

#[derive(Serialize, Deserialize)]
struct LedgerLine<T> {
    key: String,
    /// Whether it takes the place of the entry that the key had.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    replaces: bool,
    #[serde(flatten)]
    entry: T,
}

/// What every line has. That without a key says that all before it is forgotten.
#[derive(Serialize, Deserialize)]
struct LineKey<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
}

/// How each line starts, so that we never cut off the end of somebody else's file.
const LINE_START: &[u8] = b"{\"key\":\"";

struct Book<T> {
    file: File,
    /// How many bytes of the file are in `entries`.
    read: u64,
    entries: HashMap<String, T>,
}

impl<T> Clone for Ledger<T> {
    fn clone(&self) -> Self {
        Self {
            book: Arc::clone(&self.book),
        }
    }
}

impl<T> Ledger<T>
where
    T: Clone + Serialize + DeserializeOwned + Send + 'static,
{
    /// Opens the ledger at `path`, making the file if there is none.
    ///
    /// # Errors
    ///
    /// The file can not be opened or read, or holds a line that is not an entry: point the program
    /// to another file.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .open(path)?;
        // A new file is durable only once its folder is.
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        File::open(folder)?.sync_all()?;
        let mut book = Book {
            file,
            read: 0,
            entries: HashMap::new(),
        };
        book.locked(Book::catch_up)?;
        Ok(Self {
            book: Arc::new(Mutex::new(book)),
        })
    }

    /// Adds `entry` under `key` unless the key has an entry already, and answers with the one
    /// entry of the key when it is on the disk.
    ///
    /// # Errors
    ///
    /// The disk refused. The entry may or may not be there: call again with the same key.
    pub async fn append_once(&self, key: String, entry: T) -> io::Result<Recorded<T>> {
        self.with_book(move |book| book.append_once(key, entry)).await
    }

    /// Gives a key this entry, whatever it had before.
    ///
    /// # Errors
    ///
    /// The disk refused. The entry may or may not be there: call again.
    pub async fn set(&self, key: String, entry: T) -> io::Result<()> {
        self.with_book(move |book| book.set(key, entry)).await
    }

    /// Forgets all entries.
    ///
    /// # Errors
    ///
    /// The disk refused. The entries may or may not be forgotten: call again.
    pub async fn clear(&self) -> io::Result<()> {
        self.with_book(Book::clear).await
    }

    /// The entry of a key.
    ///
    /// # Errors
    ///
    /// The disk refused: call again.
    pub async fn get(&self, key: String) -> io::Result<Option<T>> {
        self.with_book(move |book| Ok(book.entries.get(&key).cloned()))
            .await
    }

    /// What `look` makes of all entries, in no order.
    ///
    /// # Errors
    ///
    /// The disk refused: call again.
    pub async fn look<R>(
        &self,
        look: impl FnOnce(Values<'_, String, T>) -> R + Send + 'static,
    ) -> io::Result<R>
    where
        R: Send + 'static,
    {
        self.with_book(move |book| Ok(look(book.entries.values()))).await
    }

    /// Runs `work` on what the file holds now, while no other process touches it.
    async fn with_book<R>(
        &self,
        work: impl FnOnce(&mut Book<T>) -> io::Result<R> + Send + 'static,
    ) -> io::Result<R>
    where
        R: Send + 'static,
    {
        let book = Arc::clone(&self.book);
        tokio::task::spawn_blocking(move || {
            let mut book = book.lock().unwrap_or_else(PoisonError::into_inner);
            book.locked(|book| {
                book.catch_up()?;
                work(book)
            })
        })
        .await
        .map_err(io::Error::other)?
    }

    /// All entries that are in the file at `path`, in the order in which they were written.
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open).
    pub fn read(path: &Path) -> io::Result<Vec<T>> {
        let file = File::open(path)?;
        file.lock_shared()?;
        let text = io::read_to_string(&file)?;
        let mut entries = Vec::new();
        for line in complete_lines(&text) {
            match parse(line)? {
                Some(LedgerLine { entry, .. }) => entries.push(entry),
                None => entries.clear(),
            }
        }
        Ok(entries)
    }
}

impl<T> Book<T>
where
    T: Clone + Serialize + DeserializeOwned,
{
    /// Runs `work` while no other process touches the file.
    fn locked<R>(&mut self, work: impl FnOnce(&mut Self) -> io::Result<R>) -> io::Result<R> {
        self.file.lock()?;
        let result = work(self);
        self.file.unlock()?;
        result
    }

    fn append_once(&mut self, key: String, entry: T) -> io::Result<Recorded<T>> {
        if let Some(entry) = self.entries.get(&key) {
            return Ok(Recorded {
                entry: entry.clone(),
                added: false,
            });
        }
        let line = LedgerLine {
            key,
            replaces: false,
            entry,
        };
        self.append(&line)?;
        self.entries.insert(line.key, line.entry.clone());
        Ok(Recorded {
            entry: line.entry,
            added: true,
        })
    }

    fn set(&mut self, key: String, entry: T) -> io::Result<()> {
        let line = LedgerLine {
            key,
            replaces: true,
            entry,
        };
        self.append(&line)?;
        self.entries.insert(line.key, line.entry);
        Ok(())
    }

    fn clear(&mut self) -> io::Result<()> {
        self.append(&LineKey { key: "".into() })?;
        self.entries.clear();
        Ok(())
    }

    fn append(&mut self, line: &impl Serialize) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(line)?;
        bytes.push(b'\n');
        if let Err(error) = self.file.write_all(&bytes).and_then(|()| self.file.sync_data()) {
            // Whatever reached the file was not promised to anybody.
            self.file.set_len(self.read)?;
            return Err(error);
        }
        self.read += bytes.len() as u64;
        Ok(())
    }

    /// Reads what was appended since the last look, and cuts off a line that was never finished.
    fn catch_up(&mut self) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.read))?;
        let mut tail = Vec::new();
        self.file.read_to_end(&mut tail)?;
        let complete = tail
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |end| end + 1);
        let text = std::str::from_utf8(&tail[..complete]).map_err(|_| not_an_entry())?;
        for line in complete_lines(text) {
            match parse(line)? {
                None => self.entries.clear(),
                Some(LedgerLine {
                    key,
                    replaces: true,
                    entry,
                }) => drop(self.entries.insert(key, entry)),
                Some(LedgerLine { key, entry, .. }) => {
                    self.entries.entry(key).or_insert(entry);
                }
            }
        }
        self.read += complete as u64;
        let unfinished = &tail[complete..];
        let start = LINE_START.len().min(unfinished.len());
        if unfinished[..start] != LINE_START[..start] {
            return Err(not_an_entry());
        }
        if !unfinished.is_empty() {
            self.file.set_len(self.read)?;
        }
        Ok(())
    }
}

fn complete_lines(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive('\n')
        .filter_map(|line| line.strip_suffix('\n'))
}

/// The entry of a line; `None` when the line says that all before it is forgotten.
fn parse<T: DeserializeOwned>(line: &str) -> io::Result<Option<LedgerLine<T>>> {
    let LineKey { key } = serde_json::from_str(line).map_err(|_| not_an_entry())?;
    if key.is_empty() {
        return Ok(None);
    }
    serde_json::from_str(line).map(Some).map_err(|_| not_an_entry())
}

/// Keeps the line and the parser's words about it to itself: no content reaches a log.
fn not_an_entry() -> io::Error {
    let message = "the file holds a line that is not a ledger entry";
    io::Error::new(io::ErrorKind::InvalidData, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &str) -> serde_json::Map<String, serde_json::Value> {
        serde_json::Map::from_iter([("text".to_owned(), text.into())])
    }

    type Entries = Ledger<serde_json::Map<String, serde_json::Value>>;

    #[tokio::test]
    async fn a_key_has_one_entry_whoever_writes_and_however_often() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ledger.jsonl");
        let one = Entries::open(&path).expect("opens");
        let two = Entries::open(&path).expect("opens twice");
        let first = one.append_once("k".into(), entry("first")).await;
        assert!(first.expect("appends").added);
        let second = two.append_once("k".into(), entry("second")).await;
        let second = second.expect("appends");
        assert!(!second.added);
        assert_eq!(second.entry, entry("first"));
        assert_eq!(Entries::read(&path).expect("reads"), [entry("first")]);
    }

    #[tokio::test]
    async fn entries_survive_a_restart() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ledger.jsonl");
        let ledger = Entries::open(&path).expect("opens");
        let added = ledger.append_once("k".into(), entry("first")).await;
        assert!(added.expect("appends").added);
        drop(ledger);
        let ledger = Entries::open(&path).expect("opens again");
        let again = ledger.append_once("k".into(), entry("second")).await;
        assert_eq!(again.expect("answers").entry, entry("first"));
    }

    #[tokio::test]
    async fn what_one_replaces_or_forgets_the_others_see() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ledger.jsonl");
        let one = Entries::open(&path).expect("opens");
        let two = Entries::open(&path).expect("opens twice");
        one.set("k".into(), entry("first")).await.expect("sets");
        two.set("k".into(), entry("second")).await.expect("sets");
        assert_eq!(one.get("k".into()).await.expect("reads"), Some(entry("second")));
        let third = one.append_once("k".into(), entry("third")).await;
        assert_eq!(third.expect("answers").entry, entry("second"));
        one.clear().await.expect("clears");
        assert_eq!(two.get("k".into()).await.expect("reads"), None);
        let fourth = two.append_once("k".into(), entry("fourth")).await;
        assert!(fourth.expect("appends").added);
        assert_eq!(Entries::read(&path).expect("reads"), [entry("fourth")]);
    }

    #[tokio::test]
    async fn a_line_that_a_crash_cut_short_is_dropped() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ledger.jsonl");
        std::fs::write(&path, "{\"key\":\"a\",\"text\":\"whole\"}\n{\"key\":\"b\",\"te").expect("writes");
        let ledger = Entries::open(&path).expect("opens");
        let added = ledger.append_once("b".into(), entry("anew")).await;
        assert!(added.expect("appends").added);
        let entries = Entries::read(&path).expect("reads");
        assert_eq!(entries, [entry("whole"), entry("anew")]);
    }

    #[test]
    fn a_foreign_file_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ledger.jsonl");
        for content in ["secret, not json\n", "secret without a line feed"] {
            std::fs::write(&path, content).expect("writes");
            let error = Entries::open(&path).err().expect("refused");
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            assert!(!error.to_string().contains("secret"));
            assert_eq!(std::fs::read_to_string(&path).expect("reads"), content);
        }
    }
}
