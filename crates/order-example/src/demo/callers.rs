//! What does a customer's client do? It fills a cart, goes to the checkout and orders what is offered; and
//! when it hears nothing final, it sends the same order again.

use std::time::Duration;

use anyhow::{Context, bail};
use futures::future::try_join_all;
use reqwest::header::RETRY_AFTER;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::domain::Order;
use crate::http::{StepRow, Steps};

/// How long a client keeps asking.
const PATIENCE: Duration = Duration::from_secs(60);

/// The customer of the demo: a token, which all its clients have.
#[derive(Debug, Clone)]
pub(super) struct Customer {
    pub(super) token: String,
}

/// What a caller got.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Answer {
    pub(super) order_nr: String,
    status: u16,
    body: Vec<u8>,
}

impl Customer {
    /// Puts tea in the cart and goes to the checkout; the id of what is offered.
    pub(super) async fn go_to_checkout(&self, url: &str) -> anyhow::Result<String> {
        let tea = self.request(Method::PUT, format!("{url}/api/v1/cart/items/TEA"))?;
        tea.json(&json!({"qty": 2})).send().await?.error_for_status()?;
        let offers = self.request(Method::POST, format!("{url}/api/v2/cart/go-checkout"))?;
        let card = json!({"payment": [{"method": "card", "cardId": "card_1"}]});
        let offers = offers.json(&card).send().await?.error_for_status()?;
        let offers: Value = offers.json().await?;
        let request_id = offers["offers"][0]["requestId"].as_str();
        Ok(request_id.context("nothing is offered")?.to_owned())
    }

    /// Sends the order once.
    pub(super) async fn ask(self, url: String, request_id: String) -> anyhow::Result<Answer> {
        match self.send(&url, &request_id).await? {
            Heard::Final(answer) => Ok(answer),
            Heard::Later(_) => bail!("the service asked for patience"),
        }
    }

    /// Sends the order `times` times at once, evenly to all of `urls`, until each caller knows.
    pub(super) async fn ask_often(
        &self,
        urls: &[String],
        request_id: &str,
        times: usize,
    ) -> anyhow::Result<Vec<Answer>> {
        let callers = urls.iter().cycle().take(times);
        let asking = try_join_all(callers.map(|url| self.ask_until_final(url, request_id)));
        tokio::time::timeout(PATIENCE, asking)
            .await
            .context("not everybody got an answer within a minute")?
    }

    /// How the order came about, as the service at `url` tells it.
    pub(super) async fn steps_of(&self, url: &str, order_nr: &str) -> anyhow::Result<Vec<StepRow>> {
        let steps = self.request(Method::GET, format!("{url}/api/v1/orders/{order_nr}/steps"))?;
        let steps: Steps = steps.send().await?.error_for_status()?.json().await?;
        Ok(steps.steps)
    }

    async fn ask_until_final(&self, url: &str, request_id: &str) -> anyhow::Result<Answer> {
        loop {
            match self.send(url, request_id).await? {
                Heard::Final(answer) => return Ok(answer),
                Heard::Later(pause) => tokio::time::sleep(pause).await,
            }
        }
    }

    async fn send(&self, url: &str, request_id: &str) -> anyhow::Result<Heard> {
        let order = self.request(Method::POST, format!("{url}/api/v1/orders"))?;
        let response = order.json(&json!({"requestId": request_id})).send().await?;
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

    fn request(&self, method: Method, url: String) -> anyhow::Result<RequestBuilder> {
        // A client, and so a connection, of its own: as ten customers would have.
        let client = reqwest::Client::builder().timeout(PATIENCE).build()?;
        Ok(client.request(method, url).bearer_auth(&self.token))
    }
}

enum Heard {
    Final(Answer),
    Later(Duration),
}
