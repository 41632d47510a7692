//! What can be typed? Four commands; without any, `serve`.

mod provider;
mod serve;
mod token;

use std::io::{IsTerminal, Write};

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::demo::DemoArgs;
pub use provider::ProviderArgs;
pub use serve::ServeArgs;
pub use token::TokenArgs;

/// An order service that survives its own death: the checkout of a marketplace on keystep.
///
/// Without a command it serves on 127.0.0.1:8080 with SQLite in ./orders.db and a payment provider
/// of its own.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Takes orders over HTTP.
    Serve(Box<ServeArgs>),
    /// Makes a token that lets a user in.
    Token(TokenArgs),
    /// Runs the payment provider alone.
    Provider(ProviderArgs),
    /// Kills a service in the middle of a payment and shows that nothing is lost or done twice.
    Demo(DemoArgs),
}

#[derive(Debug, Parser)]
struct ServeAlone {
    #[command(flatten)]
    args: ServeArgs,
}

impl Args {
    /// Does what was asked.
    ///
    /// # Errors
    ///
    /// What went wrong, as a sentence for people.
    pub async fn run(self) -> anyhow::Result<()> {
        match self.command {
            // Parsed, not built by hand, so that defaults and DATABASE_URL count here too.
            None => serve(ServeAlone::parse_from(["order-example"]).args).await,
            Some(Command::Serve(args)) => serve(*args).await,
            Some(Command::Token(args)) => args.run(),
            Some(Command::Provider(args)) => {
                log_to_stderr("info");
                args.run().await
            }
            Some(Command::Demo(args)) => {
                log_to_stderr("warn");
                args.run().await
            }
        }
    }
}

async fn serve(args: ServeArgs) -> anyhow::Result<()> {
    log_to_stderr("info");
    args.run().await
}

/// Logs go to stderr, so that stdout holds what a person or a program asked for. `RUST_LOG` sets
/// what is logged.
fn log_to_stderr(default: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}

/// Prints a line; a reader that has gone away is no reason to stop serving.
fn say(line: impl std::fmt::Display) {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).ok();
}

/// Resolves when somebody asks this process to end: Ctrl-C, or SIGTERM.
///
/// # Errors
///
/// The signals can not be listened to.
pub(crate) fn asked_to_end() -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
