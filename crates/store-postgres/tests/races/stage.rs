//! How does a test play sessions in an order of its choice? On a stage: a fresh schema whose tables
//! stop a session at gates, in the middle of the product's own statements.
//!
//! Each [`Player`] is a store of its own, as another process has it, known to the server by its
//! application name. Triggers take an advisory lock for each row that is about to be written and for
//! each commit; a gate is closed while the stage holds that lock. Where a session is, the server
//! says: at a gate, behind another session's lock, or sending a statement again because the row was
//! busy. So a test never sleeps and hopes; [`Stage::play`] runs one order of steps, and [`orders`]
//! makes all of them.

use std::future::Future;
use std::time::Duration;

use futures::future::BoxFuture;
use keystep::execution::Fence;
use keystep_postgres::{PostgresOptions, PostgresStore};
use sqlx::PgConnection;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::common::{fresh_schema, session, sql, store_with, url_with};

/// No wait of a test is longer.
const LIMIT: Duration = Duration::from_secs(30);

/// A fresh schema with gates in it.
pub(crate) struct Stage {
    pub(crate) schema: String,
    /// Holds the locks of closed gates, and looks where the players are.
    control: PgConnection,
}

/// One session, or a few that go under one name.
pub(crate) struct Player {
    pub(crate) store: PostgresStore,
    name: String,
}

/// A place in a statement where a session stops while it is closed. A statement that has passed it
/// once may stop there again for its next row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    /// Before an execution or the relay's leader is inserted: the statement's snapshot is taken, and
    /// nothing is locked.
    Begin = 1,
    /// Before a checkpoint is inserted: the execution's row is locked.
    Record = 2,
    /// Before an execution's row or the relay's leader is changed: it is locked.
    Change = 3,
    /// Before an execution is deleted: it is locked.
    Remove = 4,
    /// All is written, and nothing of it can be seen yet.
    Commit = 5,
    /// Before the execution with the key `hi` is inserted: the rows before it are there.
    BeginHi = 6,
}

const GATES: [Gate; 6] = [
    Gate::Begin,
    Gate::Record,
    Gate::Change,
    Gate::Remove,
    Gate::Commit,
    Gate::BeginHi,
];

/// The table, the moment and the number of each gate; `{schema}` stands for the schema.
const TRIGGERS: &str = "
    CREATE FUNCTION {schema}.gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        PERFORM pg_advisory_xact_lock_shared(
            hashtext(current_setting('application_name')), TG_ARGV[0]::int);
        RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
    END $$;
    CREATE TRIGGER begins BEFORE INSERT ON {schema}.executions
        FOR EACH ROW EXECUTE FUNCTION {schema}.gate(1);
    CREATE TRIGGER records BEFORE INSERT ON {schema}.checkpoints
        FOR EACH ROW EXECUTE FUNCTION {schema}.gate(2);
    CREATE TRIGGER changes BEFORE UPDATE ON {schema}.executions
        FOR EACH ROW EXECUTE FUNCTION {schema}.gate(3);
    CREATE TRIGGER removes BEFORE DELETE ON {schema}.executions
        FOR EACH ROW EXECUTE FUNCTION {schema}.gate(4);
    CREATE CONSTRAINT TRIGGER commits AFTER INSERT OR UPDATE OR DELETE ON {schema}.executions
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {schema}.gate(5);
    CREATE CONSTRAINT TRIGGER commits AFTER INSERT OR UPDATE OR DELETE ON {schema}.checkpoints
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {schema}.gate(5);
    CREATE TRIGGER leads BEFORE INSERT ON {schema}.relay
        FOR EACH ROW EXECUTE FUNCTION {schema}.gate(1);
    CREATE TRIGGER leads_instead BEFORE UPDATE ON {schema}.relay
        FOR EACH ROW EXECUTE FUNCTION {schema}.gate(3);
    CREATE CONSTRAINT TRIGGER commits AFTER INSERT OR UPDATE ON {schema}.relay
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {schema}.gate(5);
    CREATE TRIGGER begins_hi BEFORE INSERT ON {schema}.executions
        FOR EACH ROW WHEN (NEW.key = 'hi') EXECUTE FUNCTION {schema}.gate(6)";

/// The gate at which a player stands, whether it waits behind another's lock, and when it ended its
/// last statement of the lanes, in microseconds.
const LOOK: &str = "
    SELECT
        (SELECT l.objid::bigint::int
         FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid
         WHERE a.application_name = $1 AND l.locktype = 'advisory' AND l.objsubid = 2
             AND NOT l.granted
         LIMIT 1),
        EXISTS (
            SELECT 1 FROM pg_stat_activity AS a
            WHERE a.application_name = $1 AND a.wait_event_type = 'Lock'
                AND a.wait_event <> 'advisory' AND cardinality(pg_blocking_pids(a.pid)) > 0),
        (SELECT max(extract(epoch FROM a.query_start) * 1000000)::bigint
         FROM pg_stat_activity AS a
         WHERE a.application_name = $1 AND a.state = 'idle' AND a.query ~ '^(WITH (begun|held) AS|INSERT)')";

/// What a player was asked to do.
pub(crate) struct Call<T> {
    /// The player, by its name.
    who: String,
    task: JoinHandle<T>,
}

/// Where a player is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// At this gate.
    At(i32),
    /// Behind a lock of another session, or told again and again that the row is busy.
    HeldUp,
    /// It has its answer.
    Done,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        let schema = fresh_schema();
        let options = PostgresOptions {
            schema: schema.clone(),
            ..PostgresOptions::default()
        };
        drop(store_with(options).await);
        let mut control = session().await;
        sql(&mut control, TRIGGERS.replace("{schema}", &schema)).await;
        Self { schema, control }
    }

    /// A session of the test's own role. Nothing that it waits for is given up while a test plays.
    pub(crate) async fn player(&self, name: &str) -> Player {
        self.player_with(name, |url| url).await
    }

    /// A session of the database that a changed URL leads to.
    pub(crate) async fn player_with(&self, name: &str, change: impl FnOnce(String) -> String) -> Player {
        let name = format!("{}.{name}", self.schema);
        let url = change(url_with(&format!(
            "application_name={name}&options[lock_timeout]=60000"
        )));
        let options = PostgresOptions {
            schema: self.schema.clone(),
            lanes: 1,
            deadline: 5 * LIMIT,
            lock_patience: LIMIT,
            ..PostgresOptions::default()
        };
        let store = PostgresStore::connect_with(&url, options).await;
        Player {
            store: store.expect("the server is up"),
            name,
        }
    }

    pub(crate) async fn close(&mut self, player: &Player, gate: Gate) {
        self.turn("pg_advisory_lock", &player.name, gate as i32).await;
    }

    pub(crate) async fn open(&mut self, player: &Player, gate: Gate) {
        self.turn("pg_advisory_unlock", &player.name, gate as i32).await;
    }

    async fn turn(&mut self, how: &str, name: &str, gate: i32) {
        let turn = format!("SELECT {how}(hashtext('{name}'), {gate})");
        sql(&mut self.control, turn).await;
    }

    /// Waits until a player stands at a closed gate.
    pub(crate) async fn arrives<T>(&mut self, call: &Call<T>, gate: Gate) {
        let place = self.settles(call).await;
        assert_eq!(
            place,
            Place::At(gate as i32),
            "{} should be at {gate:?}",
            call.who
        );
    }

    /// Waits until a player can not go on because of another session: it has no answer.
    pub(crate) async fn is_held_up<T>(&mut self, call: &Call<T>) {
        let place = self.settles(call).await;
        assert_eq!(place, Place::HeldUp, "{} should have no answer", call.who);
    }

    /// Waits until a player does not move any more, and says where it is.
    pub(crate) async fn settles<T>(&mut self, call: &Call<T>) -> Place {
        self.settle(&[call]).await[0]
    }

    /// Waits until none of them moves any more.
    async fn settle<T>(&mut self, calls: &[&Call<T>]) -> Vec<Place> {
        let now = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
        let now: i64 = sqlx::query_scalar(now)
            .fetch_one(&mut self.control)
            .await
            .expect("a time");
        let mut ends = vec![Vec::new(); calls.len()];
        let late = Instant::now() + LIMIT;
        loop {
            let mut places = Vec::new();
            for (call, ends) in calls.iter().zip(&mut ends) {
                places.extend(self.place(call, now, ends).await);
            }
            if places.len() == calls.len() {
                return places;
            }
            let names: Vec<_> = calls.iter().map(|call| &call.who).collect();
            assert!(Instant::now() < late, "one of {names:?} never came to rest");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Where a player rests, if it does. `ends` are the ends of its statements since `since`, in
    /// microseconds.
    async fn place<T>(&mut self, call: &Call<T>, since: i64, ends: &mut Vec<i64>) -> Option<Place> {
        if call.task.is_finished() {
            return Some(Place::Done);
        }
        let (gate, waits, last): (Option<i32>, bool, Option<i64>) = sqlx::query_as(LOOK)
            .bind(&call.who)
            .fetch_one(&mut self.control)
            .await
            .expect("the server looks");
        if let Some(last) = last.filter(|last| *last > since && !ends.contains(last)) {
            ends.push(last);
        }
        match gate {
            Some(gate) => Some(Place::At(gate)),
            // A second statement with no answer from the first: the row was busy.
            None if waits || ends.len() > 1 => Some(Place::HeldUp),
            None => None,
        }
    }

    /// Plays one order: `order` names whose turn it is, and a turn leads from one gate to the next, or
    /// to the answer. Who is held up by another misses its turn. In the end all gates are opened.
    pub(crate) async fn play<T: Send + 'static>(
        &mut self,
        order: &[usize],
        cast: Vec<(&Player, BoxFuture<'static, T>)>,
    ) -> Vec<T> {
        println!("order {order:?}");
        let mut acts = Vec::new();
        for (player, act) in cast {
            for gate in GATES {
                self.close(player, gate).await;
            }
            acts.push((player, Some(act)));
        }
        let mut calls: Vec<Option<Call<T>>> = acts.iter().map(|_act| None).collect();
        let mut places = vec![Place::Done; acts.len()];
        for &turn in order {
            let (player, act) = &mut acts[turn];
            if let Some(act) = act.take() {
                calls[turn] = Some(player.asked(act));
            } else if let Place::At(gate) = places[turn] {
                self.turn("pg_advisory_unlock", &player.name, gate).await;
            } else {
                continue;
            }
            let call = calls[turn].as_ref().expect("it has begun");
            places[turn] = self.settles(call).await;
            if places[turn] == Place::Done {
                // Its locks are free, so others may have gone on.
                let (who, begun): (Vec<_>, Vec<_>) = (0..)
                    .zip(&calls)
                    .filter_map(|(who, call)| Some((who, call.as_ref()?)))
                    .unzip();
                for (who, place) in who.into_iter().zip(self.settle(&begun).await) {
                    places[who] = place;
                }
            }
        }
        sql(&mut self.control, "SELECT pg_advisory_unlock_all()").await;
        let mut answers = Vec::new();
        for call in calls {
            answers.push(call.expect("everybody has a turn").answer().await);
        }
        answers
    }

    /// Ends the retention of a finished execution.
    pub(crate) async fn expire(&mut self, fence: &Fence) {
        let (schema, id) = (&self.schema, fence.execution);
        let end = format!(
            "UPDATE {schema}.executions SET expires_at = now() - interval '1 second' WHERE id = '{id}'"
        );
        sql(&mut self.control, end).await;
    }

    /// Lets acts gather behind a first one, so that the player's lane takes them in one statement. The
    /// first one must pass none of the gates that are closed.
    pub(crate) async fn in_one_batch<T: Send + 'static, const ACTS: usize>(
        &mut self,
        player: &Player,
        first: BoxFuture<'static, T>,
        acts: [BoxFuture<'static, T>; ACTS],
    ) -> [Call<T>; ACTS] {
        self.close(player, Gate::Commit).await;
        let first = player.asked(first);
        self.arrives(&first, Gate::Commit).await;
        let calls = acts.map(|act| player.asked(act));
        // The runtime of a test has one thread: while this asks the server, all acts are begun, and a
        // call is in the lane's queue before it waits for the first time.
        self.arrives(&first, Gate::Commit).await;
        self.open(player, Gate::Commit).await;
        first.answer().await;
        calls
    }

    /// Whether a player's open transaction has written something.
    pub(crate) async fn has_written<T>(&mut self, call: &Call<T>) -> bool {
        let has_id = "SELECT EXISTS (
            SELECT 1 FROM pg_stat_activity AS a
            WHERE a.application_name = $1 AND a.backend_xid IS NOT NULL)";
        sqlx::query_scalar(has_id)
            .bind(&call.who)
            .fetch_one(&mut self.control)
            .await
            .expect("the server looks")
    }
}

impl Player {
    /// Starts an act of this player.
    pub(crate) fn asked<T: Send + 'static>(&self, act: impl Future<Output = T> + Send + 'static) -> Call<T> {
        Call {
            who: self.name.clone(),
            task: tokio::spawn(act),
        }
    }
}

impl<T> Call<T> {
    /// The answer, when nothing holds the player up any more.
    pub(crate) async fn answer(self) -> T {
        let answer = tokio::time::timeout(LIMIT, self.task).await;
        let answer = answer.unwrap_or_else(|_late| panic!("{} never got its answer", self.who));
        answer.expect("no panic")
    }
}

/// Every order in which players can take their turns: `turns[n]` for player n.
pub(crate) fn orders(turns: &[usize]) -> Vec<Vec<usize>> {
    if turns.iter().all(|left| *left == 0) {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for first in (0..turns.len()).filter(|player| turns[*player] > 0) {
        let mut rest = turns.to_vec();
        rest[first] -= 1;
        for mut order in orders(&rest) {
            order.insert(0, first);
            all.push(order);
        }
    }
    all
}

/// Every order in which equal players can take their turns, without those that only swap two of them.
pub(crate) fn orders_of_equals(players: usize, turns: usize) -> Vec<Vec<usize>> {
    let mut all = orders(&vec![turns; players]);
    all.retain(|order| {
        let first = |player| order.iter().position(|turn| *turn == player);
        (1..players).all(|player| first(player - 1) < first(player))
    });
    all
}

#[test]
fn all_orders_of_some_turns_are_made_once() {
    let all = orders(&[3, 3]);
    let distinct: std::collections::HashSet<_> = all.iter().collect();
    assert_eq!((all.len(), distinct.len()), (20, 20));
    assert_eq!(orders_of_equals(2, 3).len(), 10);
    assert_eq!(orders(&[2, 1]), [[0, 0, 1], [0, 1, 0], [1, 0, 0]]);
}
