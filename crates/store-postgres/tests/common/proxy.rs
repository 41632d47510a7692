//! What if the network fails between the store and the server? A relay on another port that can
//! refuse, cut, or swallow answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Relays connections to the server of a URL.
pub(crate) struct Proxy {
    url: String,
    swallow: Arc<AtomicBool>,
    refuse: Arc<AtomicBool>,
    cuts: watch::Sender<u32>,
}

impl Proxy {
    pub(crate) async fn start(url: &str) -> Self {
        let (before, rest) = url.split_once('@').expect("a user");
        let (server, database) = rest.split_once('/').expect("a database");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let swallow = Arc::new(AtomicBool::new(false));
        let refuse = Arc::new(AtomicBool::new(false));
        let cuts = watch::Sender::new(0);
        tokio::spawn(relay(
            listener,
            server.to_owned(),
            Arc::clone(&swallow),
            Arc::clone(&refuse),
            cuts.clone(),
        ));
        Self {
            url: format!("{before}@127.0.0.1:{port}/{database}"),
            swallow,
            refuse,
            cuts,
        }
    }

    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    /// Lets everything through to the server and nothing back.
    pub(crate) fn swallow_answers(&self, swallow: bool) {
        self.swallow.store(swallow, Ordering::SeqCst);
    }

    /// Cuts all connections.
    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Cuts all connections, and takes no new ones.
    pub(crate) fn refuse(&self, refuse: bool) {
        self.refuse.store(refuse, Ordering::SeqCst);
        self.cut();
    }
}

async fn relay(
    listener: TcpListener,
    server: String,
    swallow: Arc<AtomicBool>,
    refuse: Arc<AtomicBool>,
    cuts: watch::Sender<u32>,
) {
    while let Ok((client, _)) = listener.accept().await {
        if refuse.load(Ordering::SeqCst) {
            continue;
        }
        let Ok(server) = TcpStream::connect(&server).await else {
            continue;
        };
        let mut cut = cuts.subscribe();
        let swallow = Arc::clone(&swallow);
        tokio::spawn(async move {
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = server.into_split();
            let there = tokio::io::copy(&mut from_client, &mut to_server);
            let back = async {
                let mut bytes = vec![0_u8; 16 * 1024];
                loop {
                    let read = from_server.read(&mut bytes).await?;
                    if read == 0 {
                        return Ok::<_, std::io::Error>(());
                    }
                    if !swallow.load(Ordering::SeqCst) {
                        to_client.write_all(&bytes[..read]).await?;
                    }
                }
            };
            tokio::select! {
                _ended = there => {}
                _ended = back => {}
                _cut = cut.changed() => {}
            }
        });
    }
}
