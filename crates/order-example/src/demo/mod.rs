//! Does it hold? A customer pays, the service dies before it hears about it, and ten impatient
//! callers ask again.
//!
//! This process is the payment provider. The order service runs in child processes, which are
//! plain `order-example serve`: nothing in them knows that this is a demonstration. What is
//! withheld is an answer of the provider, what kills is SIGKILL, and everything that is reported is
//! counted afterwards in the tables and ledgers.

mod callers;
mod child;
mod place;
mod provider;
mod report;
mod story;

use std::collections::BTreeMap;

use anyhow::{Context, bail, ensure};
use futures::future::try_join_all;
use keystep::clock::monotonic;

use crate::commands::asked_to_end;
use crate::database::Database;
use child::ServiceProcess;
use place::Place;
use provider::WithholdingProvider;
use story::Story;

pub use report::Report;

/// How many callers send the request again.
const CALLERS: usize = 10;

/// Options of `demo`.
#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// Print one JSON document instead of the story.
    #[arg(long)]
    json: bool,
    /// Where to play: sqlite:PATH or postgres://USER@HOST/DATABASE. Without it, SQLite in a
    /// temporary folder.
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
}

impl DemoArgs {
    /// Plays the story, cleans up, and checks what was promised.
    ///
    /// # Errors
    ///
    /// The play could not be finished, or something was lost or done twice.
    pub async fn run(self) -> anyhow::Result<()> {
        let database = self.database_url.as_deref().map(Database::from_url);
        let place = Place::new(database.transpose()?)?;
        let story = Story { silent: self.json };
        let asked_to_end = asked_to_end()?;
        let mut services = Vec::new();
        let played = tokio::select! {
            played = play(&place, &story, &mut services) => played,
            () = asked_to_end => Err(anyhow::anyhow!("the demo was interrupted")),
        };
        // Whatever happened, the services are gone and the place is clean before this returns.
        for service in &mut services {
            service.kill().await?;
        }
        let played = played.map_err(|error| place.with_logs(error));
        let cleaned = place.clean_up().await;
        let report = played?;
        cleaned?;
        if self.json {
            println!("{}", serde_json::to_string(&report)?);
        }
        match report.broken_promise() {
            Some(broken) => bail!(broken),
            None => Ok(()),
        }
    }
}

async fn play(place: &Place, story: &Story, services: &mut Vec<ServiceProcess>) -> anyhow::Result<Report> {
    let mut provider = WithholdingProvider::start(&place.payments()).await?;
    let provider_url = provider.url.clone();
    let spawn = |name| ServiceProcess::spawn(name, place, &provider_url);
    services.push(spawn("service 1")?);
    let first = services[0].ready().await?;
    story.opens(place, &provider_url, &services[0]);

    let customer = &place.customer;
    let request_id = customer.go_to_checkout(&first).await?;
    let lost = tokio::spawn(customer.clone().ask(first, request_id.clone()));
    provider.recorded().await?;
    story.recorded();
    let killed = services[0].kill().await?;
    let killed_at = monotonic();
    ensure!(
        lost.await?.is_err(),
        "the first caller got an answer that the service could not know"
    );
    story.killed(&services[0]);

    services.push(spawn("service 2")?);
    services.push(spawn("service 3")?);
    let urls = try_join_all(services[1..].iter_mut().map(ServiceProcess::ready)).await?;
    story.started(&services[1], &services[2]);
    let asked = customer.ask_often(&urls, &request_id, CALLERS);
    let (answers, resumed_at) = tokio::join!(asked, provider.asked_again());
    let (answers, resumed_at) = (answers?, resumed_at?);

    let mut distinct = answers.clone();
    distinct.sort();
    distinct.dedup();
    let order_nr = &answers.first().context("nobody got an answer")?.order_nr;
    let steps = customer.steps_of(&urls[0], order_nr).await?;
    for service in services.iter_mut() {
        service.kill().await?;
    }

    let counts = place.count().await?;
    let report = Report {
        store: place.database.kind().to_owned(),
        orders: counts.orders,
        authorizations: counts.authorizations,
        reservations: counts.reservations,
        receipts: counts.receipts,
        callers: answers.len(),
        distinct_results: distinct.len(),
        attempts: BTreeMap::from_iter(steps.iter().map(|row| (row.step.clone(), row.attempt))),
        killed,
        resume_ms: u64::try_from((resumed_at - killed_at).as_millis())?,
    };
    story.ends(&report, &steps, services, order_nr, provider.calls());
    Ok(report)
}
