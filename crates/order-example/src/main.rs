//! The command `order-example`: see [`order_example`] for the tour, `--help` for the options.

use std::process::ExitCode;

use clap::Parser;
use order_example::commands::Args;

#[tokio::main]
async fn main() -> ExitCode {
    match Args::parse().run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("order-example: {error:#}");
            ExitCode::FAILURE
        }
    }
}
