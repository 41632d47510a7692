//! Which words may stand where? One table; each row has its reason and a breach that it must see.
//!
//! A place is a folder (ends with `/`, everything below it) or a file, as a path from the root.
//! Test modules inside a source are free: they may look at a clock or write SQL.

use crate::source;

/// What of a file a rule looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// Words of Rust code, without comments, literals and test modules.
    Code,
    /// Rust string literals that hold SQL.
    SqlLiterals,
    /// Rust string literals and SQL files: a result with whatever columns there are.
    Star,
    /// Everything, of every kind of file.
    Text,
}

struct Rule {
    why: &'static str,
    places: &'static [&'static str],
    except: &'static [&'static str],
    look: Look,
    words: &'static [&'static str],
    /// A breach of this rule at its first place.
    planted: &'static str,
}

const ENGINE: &str = "crates/engine/src/";
const POSTGRES: &str = "crates/store-postgres/src/";
const SQLITE: &str = "crates/store-sqlite/src/";
const HTTP: &str = "crates/http/src/";
const SUITE: &str = "crates/store-conformance/src/";
const ORDERS: &str = "crates/order-example/src/";
/// This folder: it has to name what it forbids.
const TIDY: &str = "tests/tests/tidy/";

const RULES: &[Rule] = &[
    Rule {
        why: "time comes in through crates/engine/src/clock.rs, so that tests can move it",
        places: &[ENGINE, POSTGRES, SQLITE, HTTP],
        except: &["crates/engine/src/clock.rs"],
        look: Look::Code,
        words: &["SystemTime::now", "Instant::now"],
        planted: "fn age() { let now = std::time::Instant::now(); }",
    },
    Rule {
        why: "chance comes in through crates/engine/src/random.rs, so that a reader sees at a \
              glance what is unpredictable",
        places: &[ENGINE, POSTGRES, SQLITE, HTTP],
        except: &["crates/engine/src/random.rs"],
        look: Look::Code,
        words: &["Uuid::new_v4", "Uuid::now_v7", "rand", "fastrand", "getrandom"],
        planted: "let id = Uuid::now_v7();",
    },
    Rule {
        why: "a library gets its options as arguments; the environment is read where a program is \
              put together (order-example, xtask) and by test kits (a seed to repeat); a planted bug \
              is named there because the processes that a test starts must have it too",
        places: &[ENGINE, POSTGRES, SQLITE, HTTP],
        except: &["crates/engine/src/bugs.rs"],
        look: Look::Code,
        words: &[
            "env::var",
            "env::var_os",
            "env::vars",
            "env::vars_os",
            "env::args",
        ],
        planted: "let url = std::env::var(\"DATABASE_URL\");",
    },
    Rule {
        why: "a library does not talk to the terminal and does not end the process: it returns \
              errors and emits tracing events",
        places: &[ENGINE, POSTGRES, SQLITE, HTTP],
        except: &[],
        look: Look::Code,
        words: &[
            "println!",
            "eprintln!",
            "print!",
            "eprint!",
            "process::exit",
            "process::abort",
        ],
        planted: "println!(\"{error}\");",
    },
    Rule {
        why: "what decides is pure: no waiting, no clock, no chance, no log, no file, so that it \
              can be read and tested as a function of its arguments",
        places: &[
            "crates/engine/src/decide.rs",
            "crates/engine/src/retry.rs",
            "crates/engine/src/plan.rs",
            "crates/engine/src/fingerprint.rs",
            "crates/http/src/fingerprint.rs",
        ],
        except: &[],
        look: Look::Code,
        words: &[
            "async",
            "await",
            "tokio",
            "futures",
            "tracing",
            "metrics",
            "Clock",
            "clock",
            "Instant",
            "SystemTime",
            "random",
            "fs",
            "io",
            "net",
            "env",
        ],
        planted: "use crate::clock::monotonic;",
    },
    Rule {
        why: "a store remembers; when to try again and what comes next is decided by the engine",
        places: &[POSTGRES, SQLITE],
        except: &[],
        look: Look::Code,
        words: &[
            "keystep::decide",
            "decide",
            "Retry",
            "keystep::Schema",
            "keystep::schema",
        ],
        planted: "use keystep::Retry;",
    },
    Rule {
        why: "text gets into a statement only through a door that checks it is a plain identifier; \
              everything else is a bind",
        places: &[ENGINE, POSTGRES, SQLITE, SUITE, ORDERS],
        except: &[
            "crates/store-postgres/src/sql.rs",
            "crates/store-sqlite/src/sql.rs",
            "crates/order-example/src/shop/schema_name.rs",
        ],
        look: Look::Code,
        words: &["AssertSqlSafe("],
        planted: "sqlx::query(AssertSqlSafe(text))",
    },
    Rule {
        why: "SQL lives in sql/ and migrations/, one statement a file, with a comment on its index \
              and its lock; a test prepares every file",
        places: &[ENGINE, POSTGRES, SQLITE, SUITE, ORDERS],
        except: &[],
        look: Look::SqlLiterals,
        words: &[],
        planted: "sqlx::query(\"SELECT 1\")",
    },
    Rule {
        why: "columns are named: with a star the next migration changes what old code reads",
        places: &["crates/", "tests/"],
        except: &[TIDY],
        look: Look::Star,
        words: &[],
        planted: "sqlx::query(\"INSERT INTO a VALUES (1) RETURNING *\")",
    },
    Rule {
        why: "what is not done is said where it is tracked, not left in the tree",
        places: &[""],
        except: &[TIDY],
        look: Look::Text,
        words: &["todo!", "unimplemented!", "FIXME", "TODO", "XXX"],
        planted: "// FIXME: later",
    },
    Rule {
        why: "a test that is not run proves nothing, and a lint that is switched off has no reason \
              to go: use #[expect(…, reason = …)], which complains when it is no longer needed",
        places: &["crates/", "tests/", "xtask/"],
        except: &[TIDY],
        look: Look::Code,
        words: &["#[ignore", "#[allow(", "#![allow("],
        planted: "#[allow(dead_code)]",
    },
];

/// All places that the rules name, so that a rule about a moved file does not fall silent.
pub(crate) fn places() -> impl Iterator<Item = &'static str> {
    RULES
        .iter()
        .flat_map(|rule| rule.places.iter().chain(rule.except))
        .copied()
}

/// Whether a file is at a place.
pub(crate) fn is_at(path: &str, place: &str) -> bool {
    path == place || ((place.is_empty() || place.ends_with('/')) && path.starts_with(place))
}

/// All that is wrong with a file, one sentence each.
pub(crate) fn breaches(path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for rule in RULES {
        let named = |places: &[&str]| places.iter().any(|place| is_at(path, place));
        if named(rule.places) && !named(rule.except) {
            for (line, what) in look(path, text, rule) {
                found.push(format!("{path}:{line}: `{what}`\n  {}", rule.why));
            }
        }
    }
    found.extend(shape(path, text).map(|what| format!("{path}: {what}")));
    found
}

/// The lines where a rule is broken, and by what.
fn look(path: &str, text: &str, rule: &Rule) -> Vec<(usize, String)> {
    let rust = path.ends_with(".rs");
    match rule.look {
        Look::Text => by_line(text, rule.words),
        Look::Code if rust => by_line(&source::parse(text).code, rule.words),
        Look::Star if path.ends_with(".sql") => {
            let bare: Vec<&str> = text
                .lines()
                .map(|line| line.split("--").next().unwrap_or_default())
                .collect();
            starred(&bare.join("\n"), true)
                .map(|what| (1, what))
                .into_iter()
                .collect()
        }
        Look::SqlLiterals | Look::Star if rust => source::parse(text)
            .literals
            .iter()
            .filter_map(|literal| {
                let what = match rule.look {
                    Look::Star => starred(&literal.text, false),
                    _ => is_sql(&literal.text).then(|| literal.text.clone()),
                };
                Some((literal.line, what?))
            })
            .collect(),
        _ => Vec::new(),
    }
}

fn by_line(text: &str, words: &[&str]) -> Vec<(usize, String)> {
    text.lines()
        .zip(1..)
        .flat_map(|(line, number)| {
            words
                .iter()
                .filter(move |word| has_word(line, word))
                .map(move |word| (number, String::from(*word)))
        })
        .collect()
}

/// Whether the line has the word, not only as a part of a longer one.
fn has_word(line: &str, word: &str) -> bool {
    let part = |char: char| char.is_alphanumeric() || char == '_';
    line.match_indices(word).any(|(at, _word)| {
        let before = line[..at].chars().next_back().is_some_and(part);
        let after = line[at + word.len()..].chars().next().is_some_and(part);
        !(before && word.starts_with(part) || after && word.ends_with(part))
    })
}

/// Whether a literal looks like a statement.
fn is_sql(text: &str) -> bool {
    let plain = plain(text);
    let mut words = plain.split(' ');
    let (first, second) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let things = [
        "table",
        "index",
        "unique",
        "schema",
        "role",
        "view",
        "trigger",
        "type",
        "sequence",
        "temp",
        "temporary",
        "extension",
        "database",
        "function",
        "or",
    ];
    let shouted = text
        .trim_start()
        .starts_with(|char: char| char.is_ascii_uppercase());
    match first {
        "select" => plain.contains(" from ") || (shouted && text.trim_start().starts_with("SELECT ")),
        "insert" => ["into", "or"].contains(&second),
        "update" => plain.contains(" set "),
        "delete" => second == "from",
        "create" | "alter" | "drop" => things.contains(&second),
        "with" => plain.contains(" as ("),
        "truncate" | "pragma" => shouted && !second.is_empty(),
        _ => false,
    }
}

/// The star of a statement that returns all columns there are.
fn starred(text: &str, qualified: bool) -> Option<String> {
    let plain = plain(text);
    ["select *", "select distinct *", "returning *"]
        .into_iter()
        .find(|star| plain.contains(star))
        .or_else(|| (qualified && plain.contains(".*")).then_some(".*"))
        .map(String::from)
}

/// Small letters, and one blank for any white space (also for `\` at the end of a line).
fn plain(text: &str) -> String {
    text.to_lowercase()
        .split(|char: char| char.is_whitespace() || char == '\\')
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// What is wrong with the shape of a source: its first words, its length.
fn shape(path: &str, text: &str) -> Option<String> {
    let source = path.ends_with(".rs") && (path.contains("/src/") || path.starts_with(TIDY));
    if !source {
        return None;
    }
    if !text.starts_with("//!") {
        let why = "a file starts with `//!` and the question it answers";
        return Some(String::from(why));
    }
    let mut module_doc = text.lines().take_while(|line| line.starts_with("//!"));
    let lines = text.lines().count();
    (lines > 600 && !module_doc.any(|line| has_word(line, "long")))
        .then(|| format!("{lines} lines: split it, or say in its module doc why it is as long as it is"))
}

#[test]
fn each_rule_sees_its_planted_breach_and_spares_its_exceptions() {
    for rule in RULES {
        let seen = |place: &str| {
            let file = if place.is_empty() || place.ends_with('/') {
                format!("{place}planted.rs")
            } else {
                String::from(place)
            };
            let text = format!("//! Why?\n{}\n", rule.planted);
            let all = breaches(&file, &text);
            all.into_iter().any(|breach| breach.contains(rule.why))
        };
        for place in rule.places {
            assert!(seen(place), "not seen at {place:?}: {}", rule.planted);
        }
        for place in rule.except {
            assert!(!seen(place), "not spared at {place:?}: {}", rule.planted);
        }
    }
}

#[test]
fn words_in_comments_and_test_modules_are_free() {
    let text = "//! Why?\n// not Instant::now()\n#[cfg(test)]\nmod tests { fn a() { Instant::now(); \
                b(\"SELECT 1\"); } }\n";
    assert_eq!(breaches("crates/engine/src/a.rs", text), Vec::<String>::new());
}

#[test]
fn a_word_inside_a_longer_one_is_another_word() {
    assert!(has_word("rand::random()", "rand"));
    assert!(has_word("a.println!(", "println!"));
    assert!(!has_word("operand", "rand"));
    assert!(!has_word("eprintln!(", "println!"));
    assert!(!has_word("MyInstant::now()", "Instant::now"));
}

#[test]
fn statements_are_told_from_sentences() {
    let statements = [
        "SELECT pg_postmaster_start_time()",
        "select a\n  from b",
        " INSERT INTO a VALUES (1)",
        "update a set b = 1",
        "DELETE FROM a",
        "CREATE TABLE a (b int)",
        "WITH a AS (SELECT 1) SELECT 1",
        "PRAGMA journal_mode",
    ];
    for statement in statements {
        assert!(is_sql(statement), "{statement}");
    }
    let sentences = [
        "",
        "select one of these",
        "update the schema",
        "with a key of {n} bytes",
        "create an engine first",
        "delete this file",
        "DELETE /api/v1/orders",
        "Selected",
    ];
    for sentence in sentences {
        assert!(!is_sql(sentence), "{sentence}");
    }
}

#[test]
fn stars_are_seen_in_sql_files_and_counting_is_not_a_star() {
    let seen = |text: &str| !breaches("crates/a/sql/b.sql", text).is_empty();
    assert!(seen("SELECT\n  * FROM a"));
    assert!(seen("SELECT e.* FROM e"));
    assert!(seen("DELETE FROM a RETURNING *"));
    assert!(!seen("-- never SELECT *\nSELECT count(*) FROM a"));
}

#[test]
fn long_files_must_explain_themselves() {
    let body = "fn a() {}\n".repeat(600);
    let path = "crates/engine/src/a.rs";
    assert!(shape(path, &format!("//! Why?\n{body}")).is_some());
    assert!(shape(path, &format!("//! Why so long? A table.\n{body}")).is_none());
    assert!(shape(path, "fn a() {}\n").is_some_and(|what| what.contains("//!")));
}
