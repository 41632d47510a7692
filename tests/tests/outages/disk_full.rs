//! The disk is full, and a while later it is not: is anything acknowledged that was not written, and does
//! work go on by itself?

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use sqlx::Connection;
use system_tests::place::Place;
use system_tests::protocol::{Policy, Trail};
use system_tests::victim::{Call, Victim};
use tempfile::TempDir;
use xtask::postgres::{Cluster, Options, account};

use crate::{quiet_victim, show};

/// A disk of a few megabytes.
struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    fn of_megabytes(size: u32) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("keystep-disk-")
            .tempdir()
            .expect("a folder");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}m,mode=1777"), "tmpfs"])
            .arg(folder.path())
            .output();
        let why = match mounted {
            Ok(output) if output.status.success() => return Self { folder },
            Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
            Err(error) => error.to_string(),
        };
        panic!("this test needs a small disk, which root may have with `mount -t tmpfs`: {why}");
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Leaves no room on it.
    fn fill(&self) {
        let mut ballast = File::create(self.ballast()).expect("a file");
        for piece in [64 * 1024, 1024, 1] {
            let piece = vec![1_u8; piece];
            while ballast.write_all(&piece).is_ok() {}
        }
    }

    /// Makes room again.
    fn clear(&self) {
        fs::remove_file(self.ballast()).expect("a file that fills the disk");
    }

    fn ballast(&self) -> std::path::PathBuf {
        self.path().join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Also while a process that is about to end has a file open.
        let _gone = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

/// A value that takes this much room, however it is stored.
fn large(bytes: usize) -> Trail {
    let payload = (0..bytes / 32).map(|_piece| uuid::Uuid::new_v4().simple().to_string());
    Trail {
        payload: payload.collect(),
        ..Trail::default()
    }
}

const LARGE: usize = 200 * 1024;

/// One execution is in its second step when the disk fills up, one is new then.
fn the_story_of_a_full_disk(place: &Place, disk: &SmallDisk) {
    let mut owner = quiet_victim(place).gate("second").ready();
    let mut caller = quiet_victim(place).ready();
    let under_way = call(&mut owner, "under way");
    owner.at_gate("three", "under way", "second");
    disk.fill();
    owner.open("second");
    let new = call(&mut caller, "new");
    // The one writes its step, the other its begin, and both fail.
    let [_step, begin] = [&owner, &caller].map(|process| {
        let failed = process.logged_times("store call failed", 1);
        show(&format!("on a full disk: {failed}"));
        failed
    });
    // Refused when it is certain that nothing was written, found out otherwise.
    let is_open = begin.contains("class=\"unknown\"");
    if is_open {
        assert!(!caller.has_answered(new), "answered, but its outcome is open");
    } else {
        let refused = caller.answer(new).expect_err("nothing was written");
        assert_eq!(refused.kind, "unavailable");
    }
    assert!(!owner.has_answered(under_way), "acknowledged, but not written");
    assert_eq!(place.checkpoints("three", "under way").len(), 1);
    assert_eq!(place.execution("three", "new"), None);

    disk.clear();
    let room = Instant::now();
    let output = owner.answer(under_way).expect("an output");
    show(&format!(
        "{:?} after there is room again it is done",
        room.elapsed()
    ));
    assert!(room.elapsed() < Duration::from_secs(10), "{:?}", room.elapsed());
    let attempts = place.attempts("three", "under way").into_iter();
    assert_eq!(
        output,
        attempts.map(|attempt| attempt.nonce).collect::<Vec<_>>(),
        "each step ran once"
    );
    let new = if is_open { new } else { call(&mut caller, "new") };
    let output = caller.answer(new).expect("an output");
    assert_eq!(output.len(), place.attempts("three", "new").len());
}

fn call(owner: &mut Victim, key: &str) -> Call {
    owner.run_with("three", key, large(LARGE), Policy::Attach)
}

#[test]
fn on_sqlite_a_full_disk_loses_nothing_and_work_goes_on_when_there_is_room() {
    let disk = SmallDisk::of_megabytes(8);
    let place = Place::within(disk.path());
    the_story_of_a_full_disk(&place, &disk);
}

#[test]
fn on_postgres_a_full_disk_loses_nothing_and_work_goes_on_when_there_is_room() {
    let disk = SmallDisk::of_megabytes(24);
    let server = Cluster::start(Options::default()).expect("a server");
    // The tables only: where there is no room for the log a server ends itself, and that is another
    // story.
    let tables = disk.path().join("tables");
    fs::create_dir(&tables).expect("a folder");
    if let Some(account) = account::for_server().expect("an account") {
        std::os::unix::fs::chown(&tables, Some(account.uid), Some(account.gid)).expect("given to it");
    }
    let create = format!("CREATE TABLESPACE small LOCATION '{}'", tables.display());
    for statement in [
        create.as_str(),
        "ALTER DATABASE postgres SET default_tablespace = small",
    ] {
        on(&server, statement);
    }
    let place = Place::on(&server.url());
    the_story_of_a_full_disk(&place, &disk);
}

/// Runs a statement as the superuser.
fn on(server: &Cluster, statement: &str) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let done: Result<_, sqlx::Error> = runtime.block_on(async {
        let mut connection = sqlx::PgConnection::connect(&server.url()).await?;
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned()))
            .execute(&mut connection)
            .await
    });
    done.expect("the server does what the superuser says");
}
