//! A SQLite file whose writer is stopped, that is busy most of the time, that loses its power or a part
//! of its files: what is left, and who waits?

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, SqliteConnection};
use system_tests::crowd::Crowd;
use system_tests::evidence::nonces;
use system_tests::place::{Kind, Place};
use system_tests::protocol::Policy;
use system_tests::victim::{Launch, Victim};
use tempfile::TempDir;

use crate::{processes, show, victim};

/// How long a write waits for another writer in these tests.
const BUSY: Duration = Duration::from_millis(500);

fn impatient(place: &Place) -> Launch {
    victim(place).option("busy-timeout-ms", BUSY.as_millis())
}

/// A process that is stopped in a step's transaction.
fn stopped_in_its_transaction(place: &Place) -> Victim {
    let mut owner = impatient(place).gate("book/written").ready();
    let _told_by_the_store = owner.run("booked", "k", Policy::Attach);
    owner.at_gate("booked", "k", "book/written");
    owner.stop();
    owner
}

#[test]
fn while_a_writer_is_stopped_writes_are_unavailable_and_reads_go_on() {
    let place = Place::fresh(Kind::Sqlite);
    let mut other = impatient(&place).ready();
    let mut owner = stopped_in_its_transaction(&place);
    for key in ["one", "two"] {
        let asked = Instant::now();
        let call = other.run("three", key, Policy::Attach);
        let refused = other.answer(call).expect_err("the file is locked");
        assert_eq!(refused.kind, "unavailable");
        assert!(
            asked.elapsed() < 2 * BUSY + Duration::from_secs(3),
            "{:?}",
            asked.elapsed()
        );
        let record = place.execution("booked", "k").expect("reads go on");
        assert_eq!(record.claim.epoch, 1);
    }
    // Nobody could write that it was given up, so it goes on with what it has.
    owner.open("book/written");
    owner.go_on();
    place.until("booked", "k", |record| record.state.is_finished());
    let ledger = place.ledger("booked", "k");
    let recorded = place.checkpoints("booked", "k");
    assert_eq!(ledger.len(), 1, "{ledger:?}");
    assert_eq!(nonces(&recorded[1]).last(), Some(&ledger[0].nonce));
    let call = other.run("three", "three", Policy::Attach);
    assert!(other.answer(call).is_ok());
}

#[test]
fn when_a_stopped_writer_is_killed_the_others_go_on() {
    let place = Place::fresh(Kind::Sqlite);
    let other = impatient(&place).gate("book").ready();
    let owner = stopped_in_its_transaction(&place);
    let killed = owner.kill();
    let (entered, _attempt) = other.entered("booked", "k", "book");
    let took = entered - killed;
    show(&format!(
        "{took:?} from the kill of a stopped writer until another process is in the step"
    ));
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(
        place.ledger("booked", "k"),
        [],
        "what it had not committed is gone"
    );
}

#[test]
fn three_processes_on_a_file_that_is_busy_most_of_the_time_lose_nothing() {
    const HELD: Duration = Duration::from_millis(700);
    let place = Place::fresh(Kind::Sqlite);
    place.audit();
    let mut crowd = Crowd::of(processes(3, &impatient(&place)));
    crowd.work(5);
    crowd.busy_while(|| {
        for _time in 0..8 {
            place.write_lock(HELD)();
            std::thread::sleep(HELD / 10);
        }
    });
    let outcome = crowd.judge(&place);
    show(&format!("a busy file, {} keys: {outcome:?}", crowd.keys()));
    assert_eq!(outcome.taken_over, 0, "live processes were given up");
}

async fn open(file: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(file);
    let options = options.busy_timeout(Duration::from_secs(20));
    options.connect().await.expect("the file opens")
}

/// The files of a database as they are at one moment: what a loss of power leaves, if nothing was
/// written that was not made durable. With `synchronous = FULL` a part of the log's end may be missing
/// that nobody was told of.
struct Snapshot {
    database: Vec<u8>,
    log: Vec<u8>,
}

fn beside(file: &Path, what: &str) -> PathBuf {
    let mut path = OsString::from(file);
    path.push(what);
    path.into()
}

impl Snapshot {
    /// While its only process is stopped.
    fn of(place: &Place, writer: &Victim) -> Self {
        writer.stop();
        let file = place.file();
        let snapshot = Self {
            database: fs::read(&file).expect("a database"),
            log: fs::read(beside(&file, "-wal")).expect("a log"),
        };
        writer.go_on();
        snapshot
    }

    /// Where transactions' pages end in the log.
    fn frames(&self) -> impl Iterator<Item = usize> {
        const HEADER: usize = 32;
        const HEADER_OF_PAGE: usize = 24;
        let size = u32::from_be_bytes(self.log[8..12].try_into().expect("4 bytes"));
        let frame = HEADER_OF_PAGE + usize::try_from(size).expect("a size");
        (HEADER..=self.log.len()).step_by(frame)
    }

    /// What is left when the log ends here.
    fn cut_at(&self, length: usize, garbage: &[u8]) -> Place {
        let folder = TempDir::new().expect("a folder");
        let file = folder.path().join("store.db");
        fs::write(&file, &self.database).expect("a copy");
        let log = [&self.log[..length], garbage].concat();
        fs::write(beside(&file, "-wal"), log).expect("a copy");
        Place::found(folder)
    }
}

const KEYS: usize = 8;

#[test]
fn whatever_a_loss_of_power_leaves_is_consistent_and_goes_on() {
    let place = Place::fresh(Kind::Sqlite);
    let mut writer = victim(&place).ready();
    // Per key: what its caller was told, and how long the log was then.
    let mut told = Vec::new();
    for key in 0..KEYS {
        let call = writer.run(["three", "booked"][key % 2], &format!("k{key}"), Policy::Attach);
        let output = writer.answer(call).expect("an output");
        told.push((output, Snapshot::of(&place, &writer).log.len()));
    }
    let last = Snapshot::of(&place, &writer);
    writer.kill();
    let cuts: Vec<usize> = last.frames().collect();
    let resumed = cuts.len() / 5;
    for (number, cut) in cuts.iter().enumerate() {
        let torn: &[u8] = if number % 3 == 0 { &[0xa5; 2_000] } else { &[] };
        let copy = last.cut_at(*cut, torn);
        let sound = is_sound(&copy);
        assert_eq!(sound, "ok", "the log ends at {cut}");
        for (key, (output, length)) in told.iter().enumerate() {
            let recorded = trail(&copy, key);
            assert!(
                output.starts_with(&recorded),
                "of another run than {output:?}: {recorded:?}"
            );
            if cut >= length {
                assert_eq!(
                    recorded, *output,
                    "k{key} was acknowledged, and the log ends at {cut}"
                );
            }
        }
        if number % resumed == 0 {
            goes_on(&copy, &told, *cut);
        }
    }
    show(&format!("{} copies, one for each end of the log", cuts.len()));
}

/// SQLite's own opinion of a file.
fn is_sound(place: &Place) -> String {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let mut connection = open(&place.file()).await;
        let answer = sqlx::query_scalar("PRAGMA integrity_check");
        answer.fetch_one(&mut connection).await.expect("an answer")
    })
}

/// The nonces that the last recorded step of a key has gathered.
fn trail(place: &Place, key: usize) -> Vec<String> {
    let schema = ["three", "booked"][key % 2];
    let recorded = place.checkpoints(schema, &format!("k{key}"));
    let trails: Vec<Vec<String>> = recorded.iter().map(nonces).collect();
    for (length, trail) in (1..).zip(&trails) {
        assert_eq!(trail.len(), length, "each step got the result of the one before");
    }
    if schema == "booked" {
        let booked = place.ledger(schema, &format!("k{key}")).len();
        assert_eq!(
            booked,
            usize::from(trails.len() > 1),
            "with its checkpoint or not at all"
        );
    }
    trails.last().cloned().unwrap_or_default()
}

/// A process works on what is left, and whoever was told a result gets it again.
fn goes_on(copy: &Place, told: &[(Vec<String>, usize)], cut: usize) {
    let mut process = victim(copy).ready();
    for (key, (output, length)) in told.iter().enumerate() {
        let call = process.run(["three", "booked"][key % 2], &format!("k{key}"), Policy::Attach);
        let again = process.answer(call).expect("an output");
        if cut >= *length {
            assert_eq!(again, *output, "k{key}, and the log ends at {cut}");
        }
    }
    process.exit();
}

/// What is documented: the log is a part of the database, and nobody can tell that it was there.
#[test]
fn without_its_log_a_file_is_what_it_was_before_and_without_its_shared_memory_it_is_whole() {
    for (lost, is_kept) in [("-shm", true), ("-wal", false)] {
        let place = Place::fresh(Kind::Sqlite);
        let mut writer = victim(&place).ready();
        let call = writer.run("three", "k", Policy::Attach);
        let output = writer.answer(call).expect("an output");
        writer.kill();
        fs::remove_file(beside(&place.file(), lost)).expect("a part of the database");

        let mut next = victim(&place).ready();
        let call = next.run("three", "k", Policy::Attach);
        let again = next.answer(call).expect("an output");
        assert_eq!(again == output, is_kept, "without {lost}");
        assert_eq!(is_sound(&place), "ok", "without {lost}");
        next.exit();
    }
}

#[test]
fn a_process_whose_log_is_removed_acknowledges_nothing_more() {
    let place = Place::fresh(Kind::Sqlite);
    let mut process = victim(&place).ready();
    let call = process.run("three", "before", Policy::Attach);
    assert!(process.answer(call).is_ok());
    fs::remove_file(beside(&place.file(), "-wal")).expect("a log");
    let call = process.run("three", "after", Policy::Attach);
    let refused = process.answer(call).expect_err("nothing that would be lost");
    assert!(refused.text.contains("-wal was removed"), "{}", refused.text);
    process.logged("-wal was removed");
    process.exit();
    assert_eq!(is_sound(&place), "ok");
    let mut next = victim(&place).ready();
    let call = next.run("three", "after", Policy::Attach);
    assert!(next.answer(call).is_ok());
}
