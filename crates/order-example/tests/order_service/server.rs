//! How does a test run a service? [`Place`] is where it keeps its things, [`Server`] the process.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use futures::FutureExt;
use order_example::database::{Database, Schemas};
use order_example::provider::Provider;
use order_example::ready::Ready;
use order_example::shop::{Shop, drop_schema};
use order_example::tokens::token_for;
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

/// Who orders, where a test does not say.
pub(crate) const ALICE: &str = "alice";
/// Somebody else.
pub(crate) const BOB: &str = "bob";
/// Somebody who is blocked.
pub(crate) const MALLORY: &str = "mallory";

/// A folder and a database of one test.
pub(crate) struct Place {
    folder: TempDir,
    pub(crate) database: Database,
    pub(crate) schemas: Schemas,
    tokens: BTreeMap<&'static str, String>,
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
        let given = [ALICE, BOB, MALLORY].map(|user| (user, token_for(user).expect("a token")));
        let lines = given.iter().map(|(user, (_, line))| match *user {
            MALLORY => format!("{line} blocked\n"),
            _ => format!("{line}\n"),
        });
        let file = folder.path().join("tokens");
        std::fs::write(file, lines.collect::<String>()).expect("writes");
        let tokens = given.map(|(user, (token, _))| (user, token)).into();
        Self {
            folder,
            database,
            schemas,
            tokens,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Blocks every token that was given out, for services that start from now on.
    pub(crate) fn block_everybody(&self) {
        let file = self.path("tokens");
        let lines = std::fs::read_to_string(&file).expect("reads");
        let lines = lines.lines().map(|line| {
            let line = line.trim_end_matches(" blocked");
            format!("{line} blocked\n")
        });
        std::fs::write(file, lines.collect::<String>()).expect("writes");
    }

    pub(crate) async fn shop(&self) -> Shop {
        let opened = order_example::service::open_database(&self.database, &self.schemas).await;
        let (_, shop, _) = opened.expect("opens");
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
    tokens: BTreeMap<&'static str, String>,
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
            .env("ORDERS_DATABASE_URL", place.database.url())
            .env("ORDERS_TOKENS", place.path("tokens"))
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
            tokens: place.tokens.clone(),
        }
    }

    /// Starts a service that must not start, with these variables; what it says instead.
    pub(crate) async fn refuses_to_start(place: &Place, variables: &[(&str, &str)]) -> String {
        let mut command = Command::new(PROGRAM);
        command
            .args(["serve", "--listen", "127.0.0.1:0"])
            .env("ORDERS_DATABASE_URL", place.database.url())
            .envs(variables.iter().copied())
            .kill_on_drop(true);
        let output = tokio::time::timeout(PATIENCE, command.output()).await;
        let output = output.expect("in time").expect("runs");
        assert!(!output.status.success());
        String::from_utf8(output.stderr).expect("text")
    }

    /// Asks until the answer is as it must become.
    pub(crate) async fn until(&self, path: &str, done: impl Fn(&Answer) -> bool) -> Answer {
        let asking = async {
            loop {
                let answer = self.get(path).await;
                if done(&answer) {
                    return answer;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, asking).await.expect("in time")
    }

    /// The next line that the process prints.
    pub(crate) async fn line(&mut self) -> String {
        let line = tokio::time::timeout(PATIENCE, self.stdout.next_line()).await;
        line.expect("in time").expect("reads").expect("a line")
    }

    /// Sends the process a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id().expect("runs")).expect("a pid");
        kill_process(Pid::from_raw(pid).expect("a pid"), signal).expect("signals");
    }

    /// A request without a token.
    pub(crate) fn anonymous(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    /// A request of a user's.
    pub(crate) fn request_of(&self, user: &str, method: Method, path: &str) -> RequestBuilder {
        self.anonymous(method, path).bearer_auth(&self.tokens[user])
    }

    /// A request of Alice's.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.request_of(ALICE, method, path)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::to(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        Answer::to(self.request(Method::POST, path).json(body)).await
    }

    /// Puts so many of a product in Alice's cart.
    pub(crate) async fn put(&self, sku: &str, qty: i64) -> Answer {
        let request = self.request(Method::PUT, &format!("/api/v1/cart/items/{sku}"));
        let put = Answer::to(request.json(&json!({ "qty": qty }))).await;
        assert_eq!(put.status, StatusCode::OK, "{put:?}");
        put
    }

    /// What Alice's cart is offered for, paid with this card.
    pub(crate) async fn offer(&self, card: &str) -> String {
        let wanted = json!({"payment": [{"method": "card", "cardId": card}]});
        let offers = self.post("/api/v2/cart/go-checkout", &wanted).await;
        assert_eq!(offers.status, StatusCode::OK, "{offers:?}");
        let request_id = offers.json()["offers"][0]["requestId"]
            .as_str()
            .map(str::to_owned);
        request_id.expect("an offer")
    }

    /// Fills Alice's cart with so many of one product and goes to the checkout; the body that orders
    /// it, paid with this card.
    pub(crate) async fn cart_of(&self, sku: &str, qty: i64, card: &str) -> Value {
        self.put(sku, qty).await;
        json!({"requestId": self.offer(card).await})
    }

    /// The same for an order that succeeds: two of tea.
    pub(crate) async fn some_tea(&self) -> Value {
        self.cart_of("TEA", 2, "card_1").await
    }

    /// A `POST /api/v1/orders` of Alice's.
    pub(crate) fn order(&self, body: &Value) -> impl Future<Output = Answer> + use<> {
        Answer::to(self.orders().body(body.to_string()))
    }

    /// The same under a key.
    pub(crate) fn order_as(&self, key: &str, body: &Value) -> impl Future<Output = Answer> + use<> {
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

    /// Which problem it is.
    pub(crate) fn slug(&self) -> String {
        let kind = self.problem()["type"].as_str().map(str::to_owned);
        let kind = kind.expect("a type");
        kind.strip_prefix("/problems/").expect("a path").to_owned()
    }

    /// The status and, if it is one, which problem.
    pub(crate) fn outcome(&self) -> (u16, String) {
        let problem = self.header("content-type") == Some("application/problem+json");
        let slug = if problem { self.slug() } else { String::new() };
        (self.status.as_u16(), slug)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("text"))
    }

    pub(crate) fn replayed(&self) -> bool {
        self.header("idempotent-replayed") == Some("true")
    }
}

/// How many lines a ledger has.
pub(crate) fn lines(path: &Path) -> usize {
    std::fs::read_to_string(path).expect("reads").lines().count()
}
