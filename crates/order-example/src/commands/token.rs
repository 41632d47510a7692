//! `order-example token`: makes a token for a user.

use super::say;
use crate::tokens::token_for;

/// Options of `token`.
#[derive(Debug, clap::Args)]
pub struct TokenArgs {
    /// Who will use it.
    user: String,
}

impl TokenArgs {
    /// Prints the token and the line that lets it in.
    pub(super) fn run(self) -> anyhow::Result<()> {
        let (token, line) = token_for(&self.user)?;
        say(format!(
            "The token, for {}; it is shown this once:\n  {token}\n\
             The line for the file that ORDERS_TOKENS names:\n  {line}",
            self.user
        ));
        Ok(())
    }
}
