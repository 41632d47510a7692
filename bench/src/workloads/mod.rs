//! What is run? One room for each workload.

mod limit;
mod order5;
mod replay;

use std::time::Duration;

use anyhow::Result;

use crate::args::{Args, Workload};
use crate::ground::Ground;

/// What runs before anything is counted: plans are made, caches are warm, files have grown.
const WARM_UP: Duration = Duration::from_millis(1_500);

/// Runs the workload that the arguments name.
pub(crate) async fn run(args: &Args) -> Result<()> {
    let ground = Ground::new(args)?;
    match args.workload {
        Workload::Order5 => order5::run(args, &ground).await,
        Workload::Replay => replay::run(args, &ground).await,
        Workload::Limit => limit::run(args, &ground).await,
    }
}
