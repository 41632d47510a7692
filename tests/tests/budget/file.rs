//! What does the budget say, and is it kept? A line for each story of each store.

use std::fmt::Write as _;

use crate::stories::Cost;

/// How far below its budget a figure may be, in percent, where what is counted does not depend on
/// when things happen.
const USUAL_ROOM: f64 = 20.0;

/// What one execution of a story costs, or may cost, on one store.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Line {
    pub(crate) store: String,
    pub(crate) story: String,
    /// `None` where nobody counts them.
    statements: Option<f64>,
    commits: f64,
    bytes: f64,
    /// How far below the budget a figure may be, in percent.
    room: f64,
}

impl Line {
    pub(crate) fn measured(store: &str, story: &str, cost: Cost) -> Self {
        Self {
            store: store.to_owned(),
            story: story.to_owned(),
            statements: cost.statements.map(hundredths),
            commits: hundredths(cost.commits),
            bytes: cost.bytes.round(),
            room: USUAL_ROOM,
        }
    }

    /// A budget that keeps what it was where it is kept, and is what was measured elsewhere.
    pub(crate) fn proposed(&self, budget: &[Self]) -> Self {
        let Some(now) = budget.iter().find(|line| self.is_of(line)) else {
            return self.clone();
        };
        let exact = now.room <= USUAL_ROOM;
        let room = if exact { 0.0 } else { now.room / 200.0 };
        let choose = |cost: f64, most: f64| match now.judge(cost, most) {
            Judgement::Kept => most,
            _ => hundredths(cost * (1.0 + room)),
        };
        let bytes = choose(self.bytes, now.bytes);
        Self {
            statements: self
                .statements
                .map(|cost| choose(cost, now.statements.unwrap_or_default())),
            commits: choose(self.commits, now.commits),
            // A little differs from run to run.
            bytes: match bytes == now.bytes {
                true => bytes,
                false => (bytes * 1.02 / 10.0).ceil() * 10.0,
            },
            room: now.room,
            ..self.clone()
        }
    }

    fn judge(&self, cost: f64, most: f64) -> Judgement {
        if cost > most {
            Judgement::TooMuch
        } else if cost < most * (1.0 - self.room / 100.0) {
            Judgement::FarBelow
        } else {
            Judgement::Kept
        }
    }

    fn is_of(&self, other: &Self) -> bool {
        self.store == other.store && self.story == other.story
    }

    fn figures(&self) -> [(&'static str, Option<f64>); 3] {
        [
            ("statements", self.statements),
            ("commits", Some(self.commits)),
            ("bytes of log", Some(self.bytes)),
        ]
    }
}

/// What is said of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Judgement {
    Kept,
    TooMuch,
    FarBelow,
}

/// Reads the budget.
///
/// # Panics
/// When a line is not as the head of the file says.
pub(crate) fn read(text: &str) -> Vec<Line> {
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [store, story, statements, commits, bytes, room] = words[..] else {
                panic!("six columns: {line}");
            };
            let number = |word: &str| -> f64 {
                let number = word.parse();
                number.unwrap_or_else(|_no| panic!("{word:?} is no number: {line}"))
            };
            Line {
                store: store.to_owned(),
                story: story.to_owned(),
                statements: (statements != "-").then(|| number(statements)),
                commits: number(commits),
                bytes: number(bytes),
                room: number(room),
            }
        })
        .collect()
}

/// Lines as they stand in the file.
pub(crate) fn table(lines: &[Line]) -> String {
    let mut table = String::new();
    for line in lines {
        let statements = line.statements.map_or("-".to_owned(), |count| count.to_string());
        let _to_memory = writeln!(
            table,
            "{:9} {:13} {statements:>10} {:>8} {:>10} {:>5}",
            line.store, line.story, line.commits, line.bytes, line.room
        );
    }
    table
}

/// All that is not as the budget says.
pub(crate) fn faults(budget: &[Line], measured: &[Line]) -> Vec<String> {
    let mut faults = Vec::new();
    for line in measured {
        let name = format!("{} {}", line.store, line.story);
        let Some(planned) = budget.iter().find(|planned| planned.is_of(line)) else {
            faults.push(format!("{name} has no budget"));
            continue;
        };
        for ((what, cost), (_what, most)) in line.figures().into_iter().zip(planned.figures()) {
            let (Some(cost), Some(most)) = (cost, most) else {
                if cost.is_some() || most.is_some() {
                    faults.push(format!("{name}: {what} are counted or planned, not both"));
                }
                continue;
            };
            match planned.judge(cost, most) {
                Judgement::Kept => {}
                Judgement::TooMuch => faults.push(format!(
                    "{name}: {cost} {what} for an execution, the budget is {most}"
                )),
                Judgement::FarBelow => faults.push(format!(
                    "{name}: only {cost} {what} for an execution: lower the budget of {most}, so that what \
                     was won is kept"
                )),
            }
        }
    }
    let gone = budget
        .iter()
        .filter(|planned| !measured.iter().any(|line| planned.is_of(line)));
    faults.extend(gone.map(|planned| format!("{} {}: nobody measures it", planned.store, planned.story)));
    faults
}

fn hundredths(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

#[test]
fn what_rose_and_what_fell_far_is_seen_and_nothing_else() {
    let budget = read("# a head\n\npostgres order 6 6 3000 20\n");
    let seen = |line: &str| faults(&budget, &read(line)).len();
    assert_eq!(seen("postgres order 6 6 3000 20"), 0);
    assert_eq!(seen("postgres order 5 5 2400 20"), 0, "not far below");
    assert_eq!(seen("postgres order 6.01 6 3000 20"), 1);
    assert_eq!(seen("postgres order 6 7 3001 20"), 2);
    assert_eq!(seen("postgres order 6 4.79 2399 20"), 2);
    assert_eq!(seen("postgres order - 6 3000 20"), 1);
    assert_eq!(seen("postgres other 6 6 3000 20"), 2, "one too many, one missing");
    assert_eq!(seen(""), 1);
}

#[test]
fn a_proposed_budget_changes_what_was_not_kept_and_is_kept() {
    let budget = read("a exact 9 6 2800 20\na timed 0.2 0.9 9 60\n");
    let measured = read("a exact 6 6 2911 20\na timed 0.3 0.8 0 20\na new 1 1 1 20\n");
    let proposed: Vec<Line> = measured.iter().map(|line| line.proposed(&budget)).collect();
    assert_eq!(
        proposed,
        read("a exact 6 6 2970 20\na timed 0.39 0.9 0 60\na new 1 1 1 20\n")
    );
    assert_eq!(faults(&proposed, &measured), Vec::<String>::new());
    assert_eq!(read(&table(&proposed)), proposed);
}
