//! Does the order service keep its contract for clients that were not written by us? The collection that
//! people import into Postman, run twice, and random requests made from the service's own document.
//!
//! The service is the program that people run, built without the doors for tests, on a fresh database
//! and a free port; once on SQLite and once on PostgreSQL.

mod service;
mod tools;

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};

use crate::postgres::Cluster;
use crate::run::{Runner, cargo, root};
use crate::test::beside_postgres;
use service::Service;
use tools::Tools;

/// What clients import.
const COLLECTION: &str = "postman/orders.postman_collection.json";

/// How many random requests each operation gets, from which seed: the same ones each time.
const EXAMPLES: &str = "40";
const SEED: &str = "20240102";

/// The checks that do not fit. One wants every request that the document allows to be done, but whether a
/// precondition holds, or an offer is still there, is not written in a document. The other wants what was
/// deleted to be gone, but an order that was cancelled is still an order.
const BUT_FOR: &str = "positive_data_acceptance,use_after_free";

/// What a program with the doors for tests would hold.
const DOORS: [&str; 2] = ["ORDERS_TEST_HOOKS", "/v1/reset"];

/// Runs everything on both databases and stops at the first failure.
///
/// # Errors
/// When a tool is missing and can not be installed (the text says what to install), or the service does
/// not start. Tests that fail are an exit code.
pub fn run(runner: &Runner) -> Result<ExitCode> {
    let tools = Tools::find_or_install(runner)?;
    let built = runner.stage("build", &mut cargo(&["build", "--package", "order-example"]))?;
    if !built.success() || runner.signal().is_some() {
        return Ok(runner.exit_code(&[built]));
    }
    let program = std::env::current_exe()?.with_file_name("order-example");
    for door in DOORS {
        ensure!(
            !holds(&program, door)?,
            "{} was built with the feature `test-hooks`, which nothing may bring unasked",
            program.display()
        );
    }
    let folder = tempfile::tempdir().context("could not make a temporary folder")?;
    beside_postgres(runner, |server| {
        let mut statuses = Vec::new();
        for database in [Database::Sqlite, Database::Postgres(server)] {
            let folder = folder.path().join(database.name());
            std::fs::create_dir(&folder)?;
            let service = Service::start(&program, &folder, &database.url(&folder))?;
            println!("==> order-example: on {} at {}", database.name(), service.url());
            for (name, mut command) in stages(&tools, &service, folder.as_path()) {
                let status = runner.stage(&format!("{name} on {}", database.name()), &mut command)?;
                statuses.push(status);
                if !status.success() || runner.signal().is_some() {
                    println!("==> the service's log:\n{}", service.log());
                    return Ok(runner.exit_code(&statuses));
                }
            }
        }
        Ok(runner.exit_code(&statuses))
    })
}

/// Which database the service keeps its things in.
enum Database<'a> {
    Sqlite,
    Postgres(&'a Cluster),
}

impl Database<'_> {
    fn name(&self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres(_) => "postgres",
        }
    }

    fn url(&self, folder: &Path) -> String {
        match self {
            Self::Sqlite => format!("sqlite:{}", folder.join("orders.db").display()),
            Self::Postgres(server) => server.url(),
        }
    }
}

/// The collection twice, the second time on what the first one left; then the random requests.
fn stages(tools: &Tools, service: &Service, folder: &Path) -> Vec<(&'static str, Command)> {
    let newman = || {
        let mut command = Command::new(&tools.newman);
        command
            .args(["run", COLLECTION, "--color", "off", "--bail", "--env-var"])
            // As people type it: a host without a scheme.
            .arg(format!("baseUrl={}", service.address()))
            .args(["--env-var", &format!("token={}", service.token())])
            .current_dir(root());
        command
    };
    let mut schemathesis = Command::new(&tools.schemathesis);
    schemathesis
        .args(["run", "--no-color", "--seed", SEED, "--max-examples", EXAMPLES])
        .args(["--checks", "all", "--exclude-checks", BUT_FOR])
        .args(["--header", &format!("Authorization: Bearer {}", service.token())])
        .arg(format!("{}/openapi.json", service.url()))
        // It leaves a folder behind.
        .current_dir(folder);
    vec![
        ("newman", newman()),
        ("newman again", newman()),
        ("schemathesis", schemathesis),
    ]
}

fn holds(program: &Path, text: &str) -> Result<bool> {
    let bytes = std::fs::read(program).with_context(|| format!("read {}", program.display()))?;
    Ok(bytes.windows(text.len()).any(|window| window == text.as_bytes()))
}
