//! What does a replayed order cost beside a plain look at it? Both, in turn, over real HTTP:
//! `cargo run --release -p order-example --example replay_cost -- [sqlite:PATH | postgres://…]`.

use std::future::pending;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Parser;
use futures::future::try_join_all;
use order_example::config::Policies;
use order_example::database::{Database, Schemas};
use order_example::provider::Provider;
use order_example::service::{Service, ServiceConfig};
use order_example::tokens::Tokens;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// As many customers as ask at once, each on a connection of its own.
const CONNECTIONS: usize = 64;

/// How long is measured.
const TIME: Duration = Duration::from_secs(20);

#[derive(Parser)]
struct Args {
    /// Where to keep things; a file that is removed afterwards if it is not said.
    database: Option<String>,
    #[command(flatten)]
    schemas: Schemas,
    #[command(flatten)]
    policies: Policies,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let folder = tempfile::tempdir()?;
    let database = match &args.database {
        Some(url) => Database::from_url(url)?,
        None => Database::Sqlite(folder.path().join("orders.db")),
    };
    let provider = Provider::open(&folder.path().join("payments.jsonl"))?;
    let provider_listener = TcpListener::bind("127.0.0.1:0").await?;
    let provider_url = format!("http://{}", provider_listener.local_addr()?);
    tokio::spawn(provider.serve(provider_listener, pending()));
    let (tokens, token) = Tokens::demo();
    let config = ServiceConfig {
        database,
        schemas: args.schemas,
        provider_url,
        receipts: folder.path().join("receipts.jsonl"),
        events: folder.path().join("events.jsonl"),
        tokens,
        offer_secret: None,
        policies: args.policies,
    };
    let service = Service::open(config, TcpListener::bind("127.0.0.1:0").await?).await?;
    let url = format!("http://{}", service.ready()?.address);
    tokio::spawn(service.run(pending()));

    let asked = |client: &Client, method: Method, path: &str| {
        client.request(method, format!("{url}{path}")).bearer_auth(&token)
    };
    let client = Client::new();
    let tea = asked(&client, Method::PUT, "/api/v1/cart/items/TEA").json(&json!({"qty": 1}));
    tea.send().await?.error_for_status()?;
    let offers = asked(&client, Method::POST, "/api/v2/cart/go-checkout").json(&json!({}));
    let offers: Value = offers.send().await?.error_for_status()?.json().await?;
    let body = json!({"requestId": offers["offers"][0]["requestId"]});
    let order = asked(&client, Method::POST, "/api/v1/orders").json(&body);
    let order: Value = order.send().await?.error_for_status()?.json().await?;
    let path = format!(
        "/api/v1/orders/{}",
        order["orderNr"].as_str().context("no order")?
    );

    let until = Instant::now() + TIME;
    let callers = (0..CONNECTIONS).map(|_| async {
        let client = Client::new();
        let mut times = (Vec::new(), Vec::new());
        while Instant::now() < until {
            let began = Instant::now();
            let shown = asked(&client, Method::GET, &path).send().await?;
            let shown = shown.error_for_status()?.bytes().await?;
            times.0.push(began.elapsed());
            let began = Instant::now();
            let again = asked(&client, Method::POST, "/api/v1/orders").json(&body);
            let again = again.send().await?.error_for_status()?;
            ensure!(
                again.headers().contains_key("idempotent-replayed"),
                "it was not a replay"
            );
            let again = again.bytes().await?;
            times.1.push(began.elapsed());
            ensure!(shown == again, "the replay shows another order");
        }
        anyhow::Ok(times)
    });
    let mut shown = Vec::new();
    let mut replayed = Vec::new();
    for (one, two) in try_join_all(callers).await? {
        shown.extend(one);
        replayed.extend(two);
    }
    let (get, post) = (median(shown), median(replayed));
    println!(
        "p50 of GET {get:?}, of the replayed POST {post:?}: {:.2}x",
        post.as_secs_f64() / get.as_secs_f64()
    );
    Ok(())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
