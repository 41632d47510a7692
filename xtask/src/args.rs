//! What does the user want? A few verbs, read by hand: no parser is worth its build time here.

/// What `cargo xtask` prints without arguments.
pub const HELP: &str = "\
The project's own commands:

  cargo xtask test [-- ARGS]     run every test once against a private PostgreSQL server; with
                                 ARGS only what they choose (they go to nextest or cargo test:
                                 names, -p PACKAGE, --test FILE)
  cargo xtask ci                 format, clippy, documentation, then test: what must pass to land
  cargo xtask mutants [NAME…]    plant each known bug of the protocol (or the named ones), and show
                                 the test that finds it by itself
  cargo xtask postgres [COMMAND] start a private PostgreSQL server and run COMMAND beside it, or
                                 print its URL and wait for Ctrl-C

PostgreSQL's server programs are taken from KEYSTEP_PG_BIN, else PG_BIN, else PATH, else
/usr/lib/postgresql; root on Debian gets them installed.";

/// A command of the project.
#[derive(Debug, PartialEq, Eq)]
pub enum Verb {
    /// List the verbs.
    Help,
    /// Run the tests; all of them, or those that the arguments choose.
    Test(Vec<String>),
    /// Run everything that must pass.
    Ci,
    /// Plant bugs; all of them, or those that are named.
    Mutants(Vec<String>),
    /// Run a command beside a private server; without one, wait.
    Postgres(Vec<String>),
}

/// Reads the arguments after the program's name.
///
/// # Errors
/// A sentence that names the argument which is not understood. Show it with [`HELP`].
pub fn parse(args: impl IntoIterator<Item = String>) -> Result<Verb, String> {
    let mut args = args.into_iter();
    let Some(verb) = args.next() else {
        return Ok(Verb::Help);
    };
    let mut rest: Vec<String> = args.collect();
    if rest.first().is_some_and(|arg| arg == "--") {
        rest.remove(0);
    }
    match verb.as_str() {
        "help" | "-h" | "--help" => Ok(Verb::Help),
        "test" => Ok(Verb::Test(rest)),
        "mutants" => Ok(Verb::Mutants(rest)),
        "postgres" => Ok(Verb::Postgres(rest)),
        "ci" if rest.is_empty() => Ok(Verb::Ci),
        "ci" => Err(format!("`ci` takes no arguments, but got {:?}", rest[0])),
        other => Err(format!("there is no verb {other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Verb, String> {
        parse(line.split_whitespace().map(String::from))
    }

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(String::from).collect()
    }

    #[test]
    fn no_argument_lists_the_verbs() {
        assert_eq!(parsed(""), Ok(Verb::Help));
        for verb in ["test", "ci", "mutants", "postgres"] {
            assert!(HELP.contains(&format!("cargo xtask {verb} ")), "{verb}");
        }
    }

    #[test]
    fn test_hands_its_arguments_on_with_and_without_dashes() {
        assert_eq!(parsed("test"), Ok(Verb::Test(vec![])));
        for line in ["test -- -p keystep fence", "test -p keystep fence"] {
            assert_eq!(parsed(line), Ok(Verb::Test(words("-p keystep fence"))));
        }
        assert_eq!(
            parsed("test -- fence -- --exact"),
            Ok(Verb::Test(words("fence -- --exact"))),
            "only the first dashes are ours"
        );
    }

    #[test]
    fn what_is_not_understood_is_named() {
        assert_eq!(parsed("tset"), Err(String::from("there is no verb \"tset\"")));
        assert!(parsed("ci --fast").is_err_and(|text| text.contains("--fast")));
    }
}
