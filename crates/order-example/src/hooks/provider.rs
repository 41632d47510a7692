//! How does a test learn what the payment provider did, and tell it how to behave? Over its own HTTP
//! interface, as its operator would.

use reqwest::{Method, RequestBuilder};

use crate::provider::{Behaviour, Stats};

/// The provider's own controls.
pub(super) struct Provider {
    http: reqwest::Client,
    base: String,
}

impl Provider {
    pub(super) fn at(url: &str) -> Self {
        Self {
            http: reqwest::Client::new(),
            base: url.trim_end_matches('/').to_owned(),
        }
    }

    /// What it decided since it last forgot everything.
    pub(super) async fn stats(&self) -> reqwest::Result<Stats> {
        let stats = self.request(Method::GET, "stats").send().await?;
        stats.error_for_status()?.json().await
    }

    pub(super) async fn behave(&self, behaviour: Behaviour) -> reqwest::Result<()> {
        let told = self.request(Method::PUT, "behaviour").json(&behaviour).send();
        told.await?.error_for_status().map(drop)
    }

    pub(super) async fn forget(&self) -> reqwest::Result<()> {
        let told = self.request(Method::POST, "reset").send();
        told.await?.error_for_status().map(drop)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}/v1/{path}", self.base))
    }
}
