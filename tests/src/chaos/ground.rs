//! On which store does it happen, and what can be done to it?

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use store_conformance::proxy::Proxy;
use xtask::postgres::{Cluster, Options as ServerOptions, Stop};

use super::options::Options;
use crate::place::{Kind, Place};
use crate::victim::Launch;

/// A place, and the server it is on if that is ours.
pub(super) struct Ground {
    place: Place,
    /// Under way, since when.
    restarting: Option<(Instant, JoinHandle<()>)>,
    locking: Option<JoinHandle<()>>,
    store: Kind,
    server: Option<Arc<Cluster>>,
}

impl Ground {
    pub(super) fn new(options: &Options) -> Self {
        let ours = options.store == Kind::Postgres && options.database_url.is_none();
        let server = ours.then(|| {
            let server = Cluster::start(ServerOptions::default());
            Arc::new(server.expect("a PostgreSQL server of our own"))
        });
        let place = match (options.store, &options.database_url, &server) {
            (Kind::Sqlite, ..) => Place::fresh(Kind::Sqlite),
            (Kind::Postgres, Some(url), _) => Place::on_server(url),
            (Kind::Postgres, None, server) => {
                Place::on_server(&server.as_ref().expect("started above").url())
            }
        };
        place.audit();
        Self {
            place,
            restarting: None,
            locking: None,
            store: options.store,
            server,
        }
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    pub(super) fn store(&self) -> Kind {
        self.store
    }

    /// The worker, told where the store is.
    pub(super) fn launch(&self, worker: &Launch) -> Launch {
        self.place.tell(worker.clone())
    }

    /// A proxy before the server, for a process of its own; none before a file.
    pub(super) fn proxy(&self) -> Option<Proxy> {
        match self.store {
            Kind::Sqlite => None,
            Kind::Postgres => Some(Proxy::before(self.place.url()).expect("a proxy")),
        }
    }

    /// Whether the server can be restarted now.
    pub(super) fn can_restart(&self) -> bool {
        self.server.is_some() && self.restarting.is_none()
    }

    /// Restarts the server as a crash does, in the background.
    pub(super) fn restart(&mut self) {
        let server = Arc::clone(self.server.as_ref().expect("a server of our own"));
        let restart = std::thread::spawn(move || {
            server.restart(Stop::Immediate).expect("the server restarts");
        });
        self.restarting = Some((Instant::now(), restart));
    }

    /// Whether the server is away.
    pub(super) fn is_restarting(&self) -> bool {
        self.restarting.is_some()
    }

    /// When the restart began that is over now.
    pub(super) fn restarted(&mut self) -> Option<Instant> {
        let over = self.restarting.take_if(|(_since, restart)| restart.is_finished());
        over.map(ended)
    }

    /// Waits for what is under way. When the restart began that was.
    pub(super) fn whole(&mut self) -> Option<Instant> {
        if let Some(locking) = self.locking.take() {
            locking.join().expect("the lock is given back");
        }
        self.restarting.take().map(ended)
    }

    /// Holds the write lock of the file for so long, in the background; false when somebody of
    /// ours does already.
    pub(super) fn lock(&mut self, time: Duration) -> bool {
        if self
            .locking
            .as_ref()
            .is_some_and(|locking| !locking.is_finished())
        {
            return false;
        }
        let lock = self.place.write_lock(time);
        self.locking = Some(std::thread::spawn(lock));
        true
    }

    /// Ends sessions of processes on the server: those that `pick` wants of so many.
    pub(super) fn end_sessions(&self, pick: impl FnOnce(usize) -> Vec<usize>) {
        const SESSIONS: &str = "SELECT pid FROM pg_stat_activity
            WHERE application_name LIKE 'keystep%' AND datname = current_database() ORDER BY pid";
        self.place.as_superuser(async |server| {
            let pids: Vec<i32> = sqlx::query_scalar(SESSIONS).fetch_all(server).await?;
            for number in pick(pids.len()) {
                sqlx::query("SELECT pg_terminate_backend($1)")
                    .bind(pids[number])
                    .execute(server)
                    .await?;
            }
            Ok(())
        });
    }
}

fn ended((since, restart): (Instant, JoinHandle<()>)) -> Instant {
    restart.join().expect("the server is there again");
    since
}
