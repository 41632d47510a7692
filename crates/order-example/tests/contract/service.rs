//! How does a test run the service? [`Pair`] is two processes of it over one database.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use order_example::database::{Database, Schemas};
use order_example::shop::drop_schema;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::answer::Request;

/// The longest that anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_order-example");

/// Declares the tests of a module: each on both databases.
macro_rules! on_both_databases {
    ($($name:ident),+ $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::service::Place::sqlite()).await;
            })+
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::service::Place::postgres()).await;
            })+
        }
    };
}
pub(crate) use on_both_databases;

/// Declares tests of a module once more, with one process instead of two.
macro_rules! at_one_process {
    ($($name:ident),+ $(,)?) => {
        mod at_one_process {
            mod on_sqlite {
                $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    super::super::$name($crate::service::Place::sqlite().lone()).await;
                })+
            }
            mod on_postgres {
                $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    super::super::$name($crate::service::Place::postgres().lone()).await;
                })+
            }
        }
    };
}
pub(crate) use at_one_process;

/// A folder and a database of one test.
pub(crate) struct Place {
    folder: TempDir,
    database: Database,
    schemas: Schemas,
    variables: Vec<(&'static str, String)>,
    lone: bool,
}

impl Place {
    pub(crate) fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let database = Database::Sqlite(folder.path().join("orders.db"));
        Self::new(folder, database)
    }

    pub(crate) fn postgres() -> Self {
        let url = std::env::var("KEYSTEP_TEST_POSTGRES_URL");
        let url = url.expect("needs a PostgreSQL server: run `cargo xtask test`");
        Self::new(tempfile::tempdir().expect("a folder"), Database::Postgres(url))
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
            // What a dead process left is taken up soon.
            variables: vec![("ORDERS_COMPLETER_GRACE_MS", "200".to_owned())],
            lone: false,
        }
    }

    /// Starts its processes with this switch.
    pub(crate) fn with(mut self, variable: &'static str, value: impl ToString) -> Self {
        self.variables.push((variable, value.to_string()));
        self
    }

    /// With one process, which is both of a pair.
    pub(crate) fn lone(mut self) -> Self {
        self.lone = true;
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The command that starts one process.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .arg("serve")
            .arg("--payments")
            .arg(self.path("payments.jsonl"))
            .arg("--receipts")
            .arg(self.path("receipts.jsonl"))
            .arg("--events")
            .arg(self.path("events.jsonl"))
            .args(["--store-schema", &self.schemas.store_schema.to_string()])
            .args(["--shop-schema", &self.schemas.shop_schema.to_string()])
            .env("ORDERS_LISTEN", "127.0.0.1:0")
            .env("ORDERS_DATABASE_URL", self.database.url())
            .env("ORDERS_TEST_HOOKS", "1")
            .env("RUST_LOG", std::env::var("RUST_LOG").as_deref().unwrap_or("warn"))
            .env_remove("ORDERS_TOKENS")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Starts one process, and returns when it is ready.
    pub(crate) async fn start(&self) -> Service {
        let mut command = self.command();
        command.stdout(Stdio::piped());
        let mut child = command.spawn().expect("starts");
        let stdout = child.stdout.take().expect("a pipe");
        let mut lines = BufReader::new(stdout).lines();
        let first = tokio::time::timeout(PATIENCE, lines.next_line()).await;
        let first = first.expect("in time").expect("reads").expect("a line");
        let ready: order_example::ready::Ready = first.parse().expect("the line that says where");
        // Whoever does not read stops the writer, sooner or later.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let service = Service {
            url: format!("http://{}", ready.address),
            child: Some(child),
            client: reqwest::Client::new(),
        };
        assert_eq!(service.get("/readyz").await.status, 200);
        service
    }

    /// Starts two processes.
    pub(crate) async fn pair(self) -> Pair {
        // The first one makes the tables.
        let one = self.start().await;
        let two = if self.lone {
            one.seen_again()
        } else {
            self.start().await
        };
        Pair {
            one,
            two,
            place: self,
        }
    }
}

/// Two processes over one database. A test that fails leaves its PostgreSQL schemas behind, to be
/// looked at.
pub(crate) struct Pair {
    pub(crate) one: Service,
    pub(crate) two: Service,
    pub(crate) place: Place,
}

impl Pair {
    /// Ends both, and removes what they made on a server.
    pub(crate) async fn end(self) {
        drop((self.one, self.two));
        if let Database::Postgres(url) = &self.place.database {
            for schema in [&self.place.schemas.store_schema, &self.place.schemas.shop_schema] {
                drop_schema(url, schema).await.expect("drops");
            }
        }
    }
}

/// One process. Dropping it kills it.
pub(crate) struct Service {
    pub(crate) url: String,
    /// None for one that is seen again.
    child: Option<Child>,
    client: reqwest::Client,
}

impl Service {
    /// The same process once more.
    fn seen_again(&self) -> Self {
        Self {
            url: self.url.clone(),
            child: None,
            client: self.client.clone(),
        }
    }

    fn child(&mut self) -> &mut Child {
        self.child.as_mut().expect("a process of its own")
    }

    /// A request of nobody.
    pub(crate) fn request(&self, method: Method, path: &str) -> Request {
        Request::new(self.client.request(method, format!("{}{path}", self.url)))
    }

    pub(crate) fn get(&self, path: &str) -> Request {
        self.request(Method::GET, path)
    }

    pub(crate) fn post(&self, path: &str, body: Value) -> Request {
        self.request(Method::POST, path).json(&body)
    }

    pub(crate) fn put(&self, path: &str, body: Value) -> Request {
        self.request(Method::PUT, path).json(&body)
    }

    pub(crate) fn patch(&self, path: &str, body: Value) -> Request {
        self.request(Method::PATCH, path).json(&body)
    }

    pub(crate) fn delete(&self, path: &str) -> Request {
        self.request(Method::DELETE, path)
    }

    /// Lets a step go wrong.
    pub(crate) async fn fault(&self, step: &str, fault: Value) {
        let put = self.put(&format!("/_test/faults/{step}"), fault).await;
        assert_eq!(put.status, 204, "{put:?}");
    }

    /// Lets a step go well again.
    pub(crate) async fn mend(&self, step: &str) {
        self.fault(step, json!({"mode": "delay", "times": 0})).await;
    }

    /// Says what the engine's store refuses.
    pub(crate) async fn store(&self, setting: Value) {
        let put = self.put("/_test/store", setting).await;
        assert_eq!(put.status, 204, "{put:?}");
    }

    pub(crate) async fn move_clock(&self, seconds: u64) {
        let moved = self.post("/_test/clock", json!({"advance_s": seconds})).await;
        assert_eq!(moved.status, 204, "{moved:?}");
    }

    pub(crate) async fn effects(&self) -> Value {
        self.get("/_test/effects").await.json()
    }

    /// How often the effect of a step was done.
    pub(crate) async fn done(&self, step: &str) -> u64 {
        self.effects().await["steps"][step].as_u64().expect("a number")
    }

    /// SIGKILL.
    pub(crate) async fn kill(&mut self) {
        self.child().kill().await.expect("kills");
    }

    /// Waits until the process has ended by itself.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let ended = tokio::time::timeout(PATIENCE, self.child().wait()).await;
        ended.expect("in time").expect("is waited for")
    }
}

/// Asks again and again until the answer is there: for what happens by itself, in its own time.
pub(crate) async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let asked = tokio::time::timeout(PATIENCE, asking).await;
    asked.unwrap_or_else(|_late| panic!("{what}: not within {PATIENCE:?}"))
}
