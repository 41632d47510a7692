//! What does a customer's client do? It sends its order, and when it hears nothing final, it sends
//! the same order with the same key again.

use std::time::Duration;

use anyhow::{Context, bail};
use futures::future::try_join_all;
use reqwest::StatusCode;
use reqwest::header::RETRY_AFTER;

use crate::domain::Order;
use crate::http::{StepRow, Steps};

/// How long a client keeps asking.
const PATIENCE: Duration = Duration::from_secs(60);

const ORDER: &str = r#"{"items":[{"sku":"TEA","qty":2}],"payment":{"method":"card","cardId":"card_1"}}"#;

/// What a caller got.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Answer {
    pub(super) order_nr: String,
    status: u16,
    body: Vec<u8>,
}

/// Sends the order once.
pub(super) async fn ask(url: String, key: String) -> anyhow::Result<Answer> {
    match send(&url, &key).await? {
        Heard::Final(answer) => Ok(answer),
        Heard::Later(_) => bail!("the service asked for patience"),
    }
}

/// Sends the order `times` times at once, evenly to all of `urls`, until each caller knows.
pub(super) async fn ask_often(urls: &[String], key: &str, times: usize) -> anyhow::Result<Vec<Answer>> {
    let callers = urls.iter().cycle().take(times);
    let asking = try_join_all(callers.map(|url| ask_until_final(url, key)));
    tokio::time::timeout(PATIENCE, asking)
        .await
        .context("not everybody got an answer within a minute")?
}

/// How the order came about, as the service at `url` tells it.
pub(super) async fn steps_of(url: &str, order_nr: &str) -> anyhow::Result<Vec<StepRow>> {
    let response = reqwest::get(format!("{url}/api/v1/orders/{order_nr}/steps")).await?;
    let steps: Steps = response.error_for_status()?.json().await?;
    Ok(steps.steps)
}

async fn ask_until_final(url: &str, key: &str) -> anyhow::Result<Answer> {
    loop {
        match send(url, key).await? {
            Heard::Final(answer) => return Ok(answer),
            Heard::Later(pause) => tokio::time::sleep(pause).await,
        }
    }
}

enum Heard {
    Final(Answer),
    Later(Duration),
}

async fn send(url: &str, key: &str) -> anyhow::Result<Heard> {
    // A client, and so a connection, of its own: as ten customers would have.
    let response = reqwest::Client::builder()
        .timeout(PATIENCE)
        .build()?
        .post(format!("{url}/api/v1/orders"))
        .header("idempotency-key", format!("\"{key}\""))
        .header("content-type", "application/json")
        .body(ORDER)
        .send()
        .await?;
    let status = response.status();
    let pause = response.headers().get(RETRY_AFTER);
    let pause = pause.and_then(|seconds| seconds.to_str().ok()?.parse().ok());
    let body = response.bytes().await?.to_vec();
    if status == StatusCode::CREATED {
        let order: Order = serde_json::from_slice(&body)?;
        return Ok(Heard::Final(Answer {
            order_nr: order.order_nr,
            status: status.as_u16(),
            body,
        }));
    }
    match pause {
        Some(seconds) => Ok(Heard::Later(Duration::from_secs(seconds))),
        None => bail!("a caller got {status}: {}", String::from_utf8_lossy(&body)),
    }
}
