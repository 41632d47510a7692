//! What does the user want? A few verbs, read by hand: no parser is worth its build time here.

/// What `cargo xtask` prints without arguments.
pub const HELP: &str = "\
The project's own commands:

  cargo xtask test [-- ARGS]     run every test once against a private PostgreSQL server; with
                                 ARGS only what they choose (they go to nextest or cargo test:
                                 names, -p PACKAGE, --test FILE)
  cargo xtask test-http          the order service from outside, on both databases: its Postman
                                 collection twice with newman, then random requests with
                                 Schemathesis; both are installed under target/ when missing
  cargo xtask crash [--times N] [-- ARGS]
                                 only the layers that kill, race and let calls fail, N times in a
                                 row, until one fails; ARGS as above
  cargo xtask ci                 format, clippy, documentation, mutants, then test: what must
                                 pass to land
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
    /// Run the layers that kill and race, so many times, with arguments for the test runner.
    Crash {
        /// At least once.
        times: u32,
        /// What goes to the test runner.
        args: Vec<String>,
    },
    /// Run clients that are not ours against the order service.
    TestHttp,
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
    let times = match (verb.as_str(), rest.first().map(String::as_str)) {
        ("crash", Some("--times")) => number(rest.drain(..2.min(rest.len())).nth(1))?,
        _ => 1,
    };
    if rest.first().is_some_and(|arg| arg == "--") {
        rest.remove(0);
    }
    match verb.as_str() {
        "help" | "-h" | "--help" => Ok(Verb::Help),
        "test" => Ok(Verb::Test(rest)),
        "crash" => Ok(Verb::Crash { times, args: rest }),
        "mutants" => Ok(Verb::Mutants(rest)),
        "postgres" => Ok(Verb::Postgres(rest)),
        "ci" | "test-http" if !rest.is_empty() => {
            Err(format!("`{verb}` takes no arguments, but got {:?}", rest[0]))
        }
        "ci" => Ok(Verb::Ci),
        "test-http" => Ok(Verb::TestHttp),
        other => Err(format!("there is no verb {other:?}")),
    }
}

fn number(text: Option<String>) -> Result<u32, String> {
    let text = text.unwrap_or_default();
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(format!("`--times` takes a number from 1, but got {text:?}")),
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
        for verb in ["test", "test-http", "crash", "ci", "mutants", "postgres"] {
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
    fn crash_runs_once_or_as_often_as_it_is_told() {
        let crash = |times, line| {
            let args = words(line);
            Ok(Verb::Crash { times, args })
        };
        assert_eq!(parsed("crash"), crash(1, ""));
        assert_eq!(parsed("crash --times 10"), crash(10, ""));
        assert_eq!(
            parsed("crash --times 2 -- on_sqlite -j1"),
            crash(2, "on_sqlite -j1")
        );
        assert_eq!(parsed("crash -- --times 2"), crash(1, "--times 2"));
        for line in ["crash --times", "crash --times 0", "crash --times often"] {
            assert!(parsed(line).is_err_and(|text| text.contains("--times")), "{line}");
        }
    }

    #[test]
    fn what_is_not_understood_is_named() {
        assert_eq!(parsed("tset"), Err(String::from("there is no verb \"tset\"")));
        for verb in ["ci", "test-http"] {
            let line = format!("{verb} --fast");
            assert!(parsed(&line).is_err_and(|text| text.contains("--fast")), "{line}");
        }
    }
}
