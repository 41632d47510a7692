//! What if the network fails between a store and its PostgreSQL server? A [`Proxy`] on a port of its
//! own: it passes everything on, until a test says what goes wrong.
//!
//! Some faults concern all connections at once: [`delay`](Proxy::delay), [`stall`](Proxy::stall) (a
//! half-open connection: nothing passes and nothing ends), [`refuse`](Proxy::refuse),
//! [`cut`](Proxy::cut), [`cut_after`](Proxy::cut_after) so many bytes. A [`Trap`] concerns one
//! statement: the proxy reads the protocol, waits for the n-th execution of a statement, and does
//! what its [`Fate`] says, so that a test knows exactly on which side of the network something was.
//!
//! The proxy has a thread and a runtime of its own: plain tests can use it, and no load of a test's
//! runtime slows it down.

mod frames;
mod relay;
mod trap;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};

use relay::{Rules, Shared};
pub use trap::{Fate, Trap};

/// A relay before a PostgreSQL server. Dropping it cuts every connection.
pub struct Proxy {
    server: String,
    address: SocketAddr,
    url: String,
    shared: Arc<Shared>,
    /// Ends the thread when it is dropped.
    _running: oneshot::Sender<()>,
}

impl Proxy {
    /// Starts a relay before the server of a URL (`postgres://user@host:port/database?…`).
    ///
    /// # Errors
    /// When there is no port or no thread to be had.
    ///
    /// # Panics
    /// When the URL names no user, no host with its port or no database.
    pub fn before(url: &str) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (server, _rest) = host_of(url);
        let server = server.to_owned();
        let shared = Arc::new(Shared::default());
        let (running, ended) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (to, of_relay) = (server.clone(), Arc::clone(&shared));
        std::thread::Builder::new()
            .name("proxy".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        _dropped = ended => {}
                        _no_port = serve(listener, to, of_relay) => {}
                    }
                });
            })?;
        let mut proxy = Self {
            server,
            address,
            url: String::new(),
            shared,
            _running: running,
        };
        proxy.url = proxy.through(url);
        Ok(proxy)
    }

    /// The URL that it was started with, through this proxy.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Another URL of the same server (another role or database), through this proxy.
    ///
    /// # Panics
    /// As [`before`](Self::before), and when it is of another server.
    pub fn through(&self, url: &str) -> String {
        let (server, rest) = host_of(url);
        assert_eq!(server, self.server, "this proxy stands before another server");
        let before = &url[..url.len() - server.len() - rest.len()];
        format!("{before}{}{rest}", self.address)
    }

    /// Passes everything on again: no delay, no stall, no refusal, answers come back. What was cut
    /// stays cut, and traps stay set.
    pub fn pass(&self) {
        self.change(|rules| {
            *rules = Rules {
                cuts: rules.cuts,
                ..Rules::default()
            };
        });
        self.shared.allow(None);
    }

    /// Holds everything back for this long, in both directions.
    pub fn delay(&self, by: Duration) {
        self.change(|rules| rules.delay = by);
    }

    /// Lets nothing through in either direction while all connections stand: the other side of a
    /// half-open connection. What was sent arrives when the stall ends.
    pub fn stall(&self, stall: bool) {
        self.change(|rules| rules.stall = stall);
    }

    /// Lets everything through to the server and drops what comes back.
    pub fn swallow_answers(&self, swallow: bool) {
        self.change(|rules| rules.swallow = swallow);
    }

    /// Cuts all connections. New ones are taken.
    pub fn cut(&self) {
        self.change(|rules| rules.cuts += 1);
    }

    /// Passes only so many more bytes to the server, over all connections together, and cuts the
    /// connection that sends the next one: in the middle of a message, as a network does.
    pub fn cut_after(&self, bytes: usize) {
        self.shared.allow(Some(bytes));
    }

    /// Cuts all connections, and takes no new ones.
    pub fn refuse(&self, refuse: bool) {
        self.change(|rules| {
            rules.refuse = refuse;
            rules.cuts += 1;
        });
    }

    /// Waits for the `nth` execution from now (counted from 1) of a statement that `is_meant`, on
    /// any connection, and treats it as its fate says. Statements are given as the client sent
    /// them; a transaction's end is `COMMIT`.
    ///
    /// # Panics
    /// When `nth` is 0: there is no such execution.
    pub fn trap(
        &self,
        is_meant: impl Fn(&str) -> bool + Send + Sync + 'static,
        nth: u64,
        fate: Fate,
    ) -> Trap {
        assert!(nth > 0, "executions are counted from 1");
        self.shared.set_trap(Box::new(is_meant), nth, fate)
    }

    fn change(&self, change: impl FnOnce(&mut Rules)) {
        self.shared.rules.send_modify(change);
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("server", &self.server)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// Host and port of a URL, and what follows them.
fn host_of(url: &str) -> (&str, &str) {
    let (_user, host) = url.split_once('@').expect("a URL with a user");
    let end = host.find('/').expect("a URL with a database");
    host.split_at(end)
}

async fn serve(listener: std::net::TcpListener, server: String, shared: Arc<Shared>) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (client, _from) = listener.accept().await?;
        let shared = Arc::clone(&shared);
        // From now on: a cut that comes while the server is called cuts this connection too.
        let rules: watch::Receiver<Rules> = shared.rules.subscribe();
        let server = server.clone();
        tokio::spawn(async move {
            if rules.borrow().refuse {
                return;
            }
            if let Ok(server) = TcpStream::connect(&server).await {
                relay::relay(client, server, shared, rules).await;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_keeps_everything_but_its_server() {
        let proxy =
            Proxy::before("postgres://me:pw@127.0.0.1:5/shop?options[search_path]=a").expect("a port");
        let port = proxy.address.port();
        assert_eq!(
            proxy.url(),
            format!("postgres://me:pw@127.0.0.1:{port}/shop?options[search_path]=a")
        );
        assert_eq!(
            proxy.through("postgres://other@127.0.0.1:5/else"),
            format!("postgres://other@127.0.0.1:{port}/else")
        );
    }
}
