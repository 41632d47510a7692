//! What is run? One room for each workload.

mod backlog;
mod limit;
mod mixed;
mod order5;
mod purge;
mod recovery;
mod replay;
mod sleepers;
mod spread;
mod storm;

use std::time::Duration;

use anyhow::Result;

use crate::args::{Args, Workload};
use crate::ground::Ground;

/// What runs before anything is counted: plans are made, caches are warm, files have grown.
const WARM_UP: Duration = Duration::from_millis(1_500);

/// Runs the workload that the arguments name.
pub(crate) async fn run(args: &Args) -> Result<()> {
    let ground = Ground::new(args)?;
    ground.fill_log().await?;
    match args.workload {
        Workload::Order5 => order5::run(args, &ground).await,
        Workload::Replay => replay::run(args, &ground).await,
        Workload::Limit => limit::run(args, &ground).await,
        Workload::Storm => storm::run(args, &ground).await,
        Workload::Recovery => recovery::run(args, &ground).await,
        Workload::Sleepers => {
            sleepers::run(args, &ground).await?;
            spread::run(args, &ground).await
        }
        Workload::Backlog => backlog::run(args, &ground).await,
        Workload::Purge => purge::run(args, &ground).await,
        Workload::Mixed => mixed::run(args, &ground).await,
    }
}
