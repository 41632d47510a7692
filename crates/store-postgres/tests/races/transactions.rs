//! Is a step's own row there exactly when its checkpoint is, in every order? And what does `confirm`
//! say while the old session still commits?

use keystep::IntoEnlisted;
use keystep::execution::Fence;
use keystep::store::{Confirm, Confirmed, Enlisted, How, Store, StoreError, Then, Verdict};
use sqlx::AssertSqlSafe;
use store_conformance::StepContexts;

use super::acts::{Told, recorded, row};
use super::stage::{Call, Gate, Player, Stage, orders, orders_of_equals};
use crate::common::*;

/// A player whose steps write to a ledger in the same database.
pub(crate) struct Bookkeeper {
    schema: String,
    contexts: StepContexts,
}

impl Bookkeeper {
    pub(crate) async fn new(stage: &Stage, player: &Player) -> Self {
        let schema = stage.schema.clone();
        let table = format!("CREATE TABLE IF NOT EXISTS {schema}.ledger (mark text NOT NULL)");
        sql(&mut session().await, table).await;
        let contexts = StepContexts::over(player.store.clone()).await;
        Self { schema, contexts }
    }

    /// A step's transaction with a row in it, ready to be enlisted.
    async fn books(&self, player: &Player, mark: &str) -> Enlisted {
        let cx = self.contexts.next().await;
        let mut transaction = player.store.transaction(&cx).await.expect("a transaction");
        let insert = format!("INSERT INTO {}.ledger VALUES ($1)", self.schema);
        sqlx::query(AssertSqlSafe(insert))
            .bind(mark)
            .execute(&mut *transaction)
            .await
            .expect("a row");
        transaction.into_enlisted()
    }

    /// How many rows with this mark can be seen.
    async fn booked(&self, mark: &str) -> i64 {
        let count = format!(
            "SELECT count(*) FROM {}.ledger WHERE mark = '{mark}'",
            self.schema
        );
        number(&mut session().await, count).await
    }
}

#[tokio::test]
async fn in_every_order_the_row_of_a_step_is_there_exactly_when_its_checkpoint_is() {
    let mut stage = Stage::new().await;
    let (owner, taker) = (stage.player("owner").await, stage.player("taker").await);
    let books = Bookkeeper::new(&stage, &owner).await;
    play_transaction_and_takeover(&mut stage, &owner, &taker, &books).await;
}

/// Every order of a commit with a step's transaction and a takeover.
pub(crate) async fn play_transaction_and_takeover(
    stage: &mut Stage,
    owner: &Player,
    taker: &Player,
    books: &Bookkeeper,
) {
    for order in orders(&[3, 3]) {
        let key = format!("transaction {order:?}");
        let fence = started(&owner.store, &key).await;
        let seen = row(&owner.store, &fence).await.seen();
        let enlisted = books.books(owner, &key).await;
        let checkpoint = record(fence, "one", 0, Then::Continue);
        let cast = vec![
            (owner, owner.commits_with(checkpoint, enlisted)),
            (taker, taker.acquires(seen, How::TakeOver)),
        ];
        let told = stage.play(&order, cast).await;
        let (Told::Verdict(verdict), Told::Won(_, progress)) = (&told[0], &told[1]) else {
            panic!("a checkpoint leaves the claim as it was, so the takeover wins: {told:?}");
        };
        let there = recorded(&taker.store, &fence).await;
        let all = (progress.checkpoints.len(), there, books.booked(&key).await);
        match verdict {
            Verdict::Written => assert_eq!(all, (1, 1, 1), "loaded, there, booked in {order:?}"),
            Verdict::Fenced => assert_eq!(all, (0, 0, 0), "loaded, there, booked in {order:?}"),
            other @ (Verdict::Exists(_) | Verdict::Wished) => panic!("nobody else meets it: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_transaction_that_meets_an_open_takeover_waits_and_is_rolled_back() {
    let mut stage = Stage::new().await;
    let (owner, taker) = (stage.player("owner").await, stage.player("taker").await);
    let books = Bookkeeper::new(&stage, &owner).await;
    let fence = started(&owner.store, "a").await;
    let seen = row(&owner.store, &fence).await.seen();
    let enlisted = books.books(&owner, "a").await;
    stage.close(&taker, Gate::Commit).await;
    let takeover = taker.asked(taker.acquires(seen, How::TakeOver));
    stage.arrives(&takeover, Gate::Commit).await;
    let write = owner.asked(owner.commits_with(record(fence, "one", 0, Then::Continue), enlisted));
    stage.is_held_up(&write).await;
    stage.open(&taker, Gate::Commit).await;
    assert!(takeover.answer().await.won());
    assert_eq!(write.answer().await, Told::Verdict(Verdict::Fenced));
    let left = (recorded(&owner.store, &fence).await, books.booked("a").await);
    assert_eq!(left, (0, 0));
}

#[tokio::test]
async fn in_every_order_one_of_two_transactions_of_the_same_write_leaves_its_row() {
    let mut stage = Stage::new().await;
    let (owner, other) = (stage.player("owner").await, stage.player("other").await);
    let books = [
        Bookkeeper::new(&stage, &owner).await,
        Bookkeeper::new(&stage, &other).await,
    ];
    for order in orders_of_equals(2, 3) {
        let key = format!("{order:?}");
        let fence = started(&owner.store, &key).await;
        let write = record(fence, "one", 0, Then::Continue);
        let enlisted = [
            books[0].books(&owner, &key).await,
            books[1].books(&other, &key).await,
        ];
        let [first, second] = enlisted;
        let cast = vec![
            (&owner, owner.commits_with(again(&write), first)),
            (&other, other.commits_with(write, second)),
        ];
        let told = stage.play(&order, cast).await;
        // Who began to write before the other's checkpoint could be seen runs into it.
        let written = Told::Verdict(Verdict::Written);
        assert!(told.contains(&written), "{told:?} in {order:?}");
        for told in told {
            assert!(
                told == written || told == Told::RolledBack,
                "{told:?} in {order:?}"
            );
        }
        assert_eq!(recorded(&owner.store, &fence).await, 1, "in {order:?}");
        assert_eq!(books[0].booked(&key).await, 1, "one row in {order:?}");
    }
}

/// A commit that is under way in the database: all is written, nothing can be seen.
struct UnderWay {
    stage: Stage,
    owner: Player,
    asker: Player,
    books: Bookkeeper,
    fence: Fence,
    commit: Call<Result<Verdict, StoreError>>,
    question: Confirm,
}

impl UnderWay {
    async fn new() -> Self {
        let stage = Stage::new().await;
        let (owner, asker) = (stage.player("owner").await, stage.player("asker").await);
        Self::with(stage, owner, asker).await
    }

    async fn with(mut stage: Stage, owner: Player, asker: Player) -> Self {
        let books = Bookkeeper::new(&stage, &owner).await;
        let fence = started(&owner.store, "a").await;
        let mut write = record(fence, "one", 0, Then::Continue);
        write.enlisted = Some(books.books(&owner, "a").await);
        let question = Confirm {
            fence,
            step: "one".into(),
            write_id: write.write_id,
        };
        stage.close(&owner, Gate::Commit).await;
        let store = owner.store.clone();
        let commit = owner.asked(async move { store.commit(write).await });
        stage.arrives(&commit, Gate::Commit).await;
        assert_eq!(
            recorded(&asker.store, &fence).await,
            0,
            "a plain read sees nothing"
        );
        Self {
            stage,
            owner,
            asker,
            books,
            fence,
            commit,
            question,
        }
    }

    fn asks(&self) -> Call<Confirmed> {
        let (store, question) = (self.asker.store.clone(), self.question.clone());
        self.asker
            .asked(async move { store.confirm(question).await.expect("an answer") })
    }

    /// Ends the session that commits, as a crash of its server process would.
    async fn end_the_session(&self) {
        let end = format!(
            "SELECT pg_terminate_backend(l.pid, 10000) FROM pg_locks AS l \
             JOIN pg_stat_activity AS a ON a.pid = l.pid \
             WHERE a.application_name = '{}.owner' AND l.locktype = 'advisory' AND NOT l.granted",
            self.stage.schema
        );
        sql(&mut session().await, end).await;
    }
}

#[tokio::test]
async fn a_question_about_a_write_waits_for_the_session_that_still_commits_it() {
    let stage = Stage::new().await;
    let (owner, asker) = (stage.player("owner").await, stage.player("asker").await);
    ask_during_the_commit(stage, owner, asker).await;
}

/// Asks what became of a write while its commit is under way.
pub(crate) async fn ask_during_the_commit(stage: Stage, owner: Player, asker: Player) {
    let mut here = UnderWay::with(stage, owner, asker).await;
    let asked = here.asks();
    here.stage.is_held_up(&asked).await;
    here.stage.open(&here.owner, Gate::Commit).await;
    assert_eq!(asked.answer().await, Confirmed::Written);
    let verdict = here.commit.answer().await;
    assert_eq!(verdict.expect("an answer"), Verdict::Written);
    assert_eq!(here.books.booked("a").await, 1);
}

#[tokio::test]
async fn a_write_whose_session_dies_while_it_commits_is_absent_for_ever() {
    let mut here = UnderWay::new().await;
    let asked = here.asks();
    here.stage.is_held_up(&asked).await;
    here.end_the_session().await;
    assert_eq!(asked.answer().await, Confirmed::Absent);
    let lost = here.commit.answer().await;
    assert!(matches!(lost, Err(StoreError::Unknown(_))), "{lost:?}");
    let left = (
        recorded(&here.asker.store, &here.fence).await,
        here.books.booked("a").await,
    );
    assert_eq!(left, (0, 0));
}

#[tokio::test]
async fn a_write_whose_session_dies_before_a_takeover_is_fenced() {
    let mut here = UnderWay::new().await;
    let seen = row(&here.asker.store, &here.fence).await.seen();
    let takeover = here.asker.asked(here.asker.acquires(seen, How::TakeOver));
    here.stage.is_held_up(&takeover).await;
    here.end_the_session().await;
    let Told::Won(_, progress) = takeover.answer().await else {
        panic!("nobody else wants it");
    };
    assert_eq!(progress.checkpoints, []);
    assert_eq!(here.asks().answer().await, Confirmed::Fenced);
    let lost = here.commit.answer().await;
    assert!(matches!(lost, Err(StoreError::Unknown(_))), "{lost:?}");
    assert_eq!(here.books.booked("a").await, 0);
}
