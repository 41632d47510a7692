//! How does a test run a service? [`Place`] is where it keeps its things, [`Server`] the process.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use futures::FutureExt;
use order_example::database::{Database, Schemas};
use order_example::provider::Provider;
use order_example::ready::Ready;
use order_example::shop::{Shop, drop_schema};
use reqwest::{Method, RequestBuilder, StatusCode};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::{mpsc, watch};

/// The longest that anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_order-example");

/// The database server for tests.
pub(crate) fn postgres_url() -> String {
    std::env::var("KEYSTEP_TEST_POSTGRES_URL").expect("needs a PostgreSQL server: run `cargo xtask test`")
}

/// A folder and a database of one test.
pub(crate) struct Place {
    folder: TempDir,
    pub(crate) database: Database,
    pub(crate) schemas: Schemas,
}

impl Place {
    pub(crate) fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let database = Database::Sqlite(folder.path().join("orders.db"));
        Self::new(folder, database)
    }

    pub(crate) fn postgres() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self::new(folder, Database::Postgres(postgres_url()))
    }

    fn new(folder: TempDir, database: Database) -> Self {
        let random = keystep::random::unpredictable().as_u64_pair().0;
        let schema = |kind: &str| format!("test_{kind}_{random:016x}").parse().expect("a name");
        let schemas = Schemas {
            store_schema: schema("store"),
            shop_schema: schema("shop"),
        };
        Self {
            folder,
            database,
            schemas,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) async fn shop(&self) -> Shop {
        let opened = order_example::service::open_database(&self.database, &self.schemas).await;
        let (_, shop) = opened.expect("opens");
        shop
    }

    /// Removes what the test made on a server.
    pub(crate) async fn clean_up(&self) {
        if let Database::Postgres(url) = &self.database {
            for schema in [&self.schemas.store_schema, &self.schemas.shop_schema] {
                drop_schema(url, schema).await.expect("drops");
            }
        }
    }
}

/// A running service. Dropping it kills the process.
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) url: String,
    pub(crate) stdout: Lines<BufReader<ChildStdout>>,
    client: reqwest::Client,
}

/// A payment provider inside the test, which does not answer before it may.
pub(crate) struct HeldProvider {
    pub(crate) url: String,
    recorded: mpsc::UnboundedReceiver<()>,
    answer: watch::Sender<bool>,
}

impl HeldProvider {
    pub(crate) async fn start(place: &Place) -> Self {
        let (record, recorded) = mpsc::unbounded_channel();
        let (answer, may_answer) = watch::channel(false);
        let provider = Provider::open(&place.path("payments.jsonl")).expect("opens");
        let provider = provider.before_answer(move |_| {
            record.send(()).ok();
            let mut may_answer = may_answer.clone();
            async move {
                may_answer.wait_for(|may| *may).await.ok();
            }
            .boxed()
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("has an address");
        tokio::spawn(provider.serve(listener, std::future::pending()));
        Self {
            url: format!("http://{address}"),
            recorded,
            answer,
        }
    }

    /// Waits until an authorization is on the disk.
    pub(crate) async fn recorded(&mut self) {
        let recorded = tokio::time::timeout(PATIENCE, self.recorded.recv()).await;
        recorded.expect("in time").expect("runs");
    }

    /// Answers from now on.
    pub(crate) fn answer(&self) {
        self.answer.send_replace(true);
    }
}

/// What a client got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Server {
    /// Starts a service with a payment provider of its own.
    pub(crate) async fn start(place: &Place) -> Self {
        Self::start_with(place, |_| {}).await
    }

    /// Starts a service that pays at this provider.
    pub(crate) async fn start_at(place: &Place, provider_url: &str) -> Self {
        Self::start_with(place, |command| {
            command.args(["--provider-url", provider_url]);
        })
        .await
    }

    /// Starts a service with more arguments or variables.
    pub(crate) async fn start_with(place: &Place, change: impl FnOnce(&mut Command)) -> Self {
        let mut command = Command::new(PROGRAM);
        command
            .args(["serve", "--listen", "127.0.0.1:0"])
            .arg("--payments")
            .arg(place.path("payments.jsonl"))
            .arg("--receipts")
            .arg(place.path("receipts.jsonl"))
            .arg("--events")
            .arg(place.path("events.jsonl"))
            .arg("--store-schema")
            .arg(place.schemas.store_schema.to_string())
            .arg("--shop-schema")
            .arg(place.schemas.shop_schema.to_string())
            .env("DATABASE_URL", place.database.url())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        change(&mut command);
        let mut child = command.spawn().expect("starts");
        let stdout = child.stdout.take().expect("a pipe");
        let mut stdout = BufReader::new(stdout).lines();
        let line = tokio::time::timeout(PATIENCE, stdout.next_line()).await;
        let line = line.expect("in time").expect("reads").expect("a line");
        let ready: Ready = line.parse().expect("the line that says where");
        Self {
            child,
            url: format!("http://{}", ready.address),
            stdout,
            client: reqwest::Client::new(),
        }
    }

    /// Sends the process a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id().expect("runs")).expect("a pid");
        kill_process(Pid::from_raw(pid).expect("a pid"), signal).expect("signals");
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::to(self.request(Method::GET, path)).await
    }

    /// A `POST /api/v1/orders` with this key and body.
    pub(crate) fn order(&self, key: &str, body: &Value) -> impl Future<Output = Answer> + use<> {
        let request = self.orders().header("idempotency-key", format!("\"{key}\""));
        Answer::to(request.body(body.to_string()))
    }

    /// A `POST /api/v1/orders` that still lacks its key and body.
    pub(crate) fn orders(&self) -> RequestBuilder {
        self.request(Method::POST, "/api/v1/orders")
            .header("content-type", "application/json")
    }
}

impl Answer {
    pub(crate) async fn to(request: RequestBuilder) -> Self {
        let response = request.timeout(PATIENCE).send().await.expect("an answer");
        Self {
            status: response.status(),
            headers: response.headers().clone(),
            body: response.bytes().await.expect("a body").to_vec(),
        }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// The problem, without the id that is different each time.
    pub(crate) fn problem(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        let mut problem = self.json();
        let members = problem.as_object_mut().expect("an object");
        let instance = members.remove("instance").expect("an instance");
        let instance = instance.as_str().expect("a text");
        assert!(instance.starts_with("urn:uuid:"), "{instance}");
        problem
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("text"))
    }

    pub(crate) fn replayed(&self) -> bool {
        self.header("idempotent-replayed") == Some("true")
    }
}

/// An order of some product, paid with a card.
pub(crate) fn an_order(sku: &str, qty: i64, card: &str) -> Value {
    json!({
        "items": [{"sku": sku, "qty": qty}],
        "payment": {"method": "card", "cardId": card},
    })
}

/// An order that succeeds.
pub(crate) fn some_tea() -> Value {
    an_order("TEA", 2, "card_1")
}

/// How many lines a ledger has.
pub(crate) fn lines(path: &Path) -> usize {
    std::fs::read_to_string(path).expect("reads").lines().count()
}
