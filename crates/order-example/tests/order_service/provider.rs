//! What may a shop rely on when it calls the payment provider again?

use std::path::Path;
use std::process::Stdio;

use order_example::domain::Money;
use order_example::ledger::Ledger;
use order_example::payments::{PaymentError, PaymentGateway};
use order_example::provider::{DECLINED_CARD, Decision, Entry, PaymentOrder};
use order_example::ready::Ready;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

use crate::server::{PATIENCE, PROGRAM};

fn request(amount: i64, card: &str) -> PaymentOrder {
    PaymentOrder {
        amount: Money {
            amount,
            currency: "RUB".into(),
        },
        card_id: card.into(),
    }
}

/// What the ledger holds, which is nothing else.
fn authorizations(ledger: &Path) -> Vec<Decision> {
    let entries = Ledger::<Entry>::read(ledger).expect("reads").into_iter();
    let authorizations = entries.map(|entry| match entry {
        Entry::Authorization(decision) => decision,
        other => panic!("expected authorizations, got {other:?}"),
    });
    authorizations.collect()
}

/// The provider as a program of its own. Dropping it kills the process.
struct Running {
    child: Child,
    gateway: PaymentGateway,
}

impl Running {
    async fn start(ledger: &Path) -> Self {
        let mut child = Command::new(PROGRAM)
            .args(["provider", "--listen", "127.0.0.1:0", "--ledger"])
            .arg(ledger)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("starts");
        let stdout = child.stdout.take().expect("a pipe");
        let mut lines = BufReader::new(stdout).lines();
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await;
        let line = line.expect("in time").expect("reads").expect("a line");
        let ready: Ready = line.parse().expect("the line that says where");
        let gateway = PaymentGateway::new(&format!("http://{}", ready.address));
        let gateway = gateway.expect("builds");
        Self { child, gateway }
    }
}

#[tokio::test]
async fn the_same_key_authorizes_once_also_after_a_kill() {
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = folder.path().join("payments.jsonl");
    let wanted = request(1000, "card_1");

    let mut provider = Running::start(&ledger).await;
    let first = provider.gateway.authorize("k", &wanted).await;
    let first = first.expect("authorizes");
    let again = provider.gateway.authorize("k", &wanted).await;
    assert_eq!(again.expect("answers again"), first);
    provider.child.kill().await.expect("kills");

    let provider = Running::start(&ledger).await;
    let after = provider.gateway.authorize("k", &wanted).await;
    assert_eq!(after.expect("answers after the kill"), first);

    assert_eq!(authorizations(&ledger), [first]);
}

#[tokio::test]
async fn twenty_equal_requests_at_once_authorize_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = folder.path().join("payments.jsonl");
    let provider = Running::start(&ledger).await;
    let wanted = request(1000, "card_1");
    let calls = (0..20).map(|_| provider.gateway.authorize("k", &wanted));
    let answers = futures::future::try_join_all(calls).await;
    let answers = answers.expect("all answered");
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(authorizations(&ledger), answers[..1]);
}

#[tokio::test]
async fn a_key_with_another_amount_or_card_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = folder.path().join("payments.jsonl");
    let provider = Running::start(&ledger).await;
    let first = provider.gateway.authorize("k", &request(1000, "card_1")).await;
    let first = first.expect("authorizes");
    for other in [request(1001, "card_1"), request(1000, "card_2")] {
        let refused = provider.gateway.authorize("k", &other).await;
        let Err(PaymentError::Refused { code }) = refused else {
            panic!("expected a refusal, got {refused:?}");
        };
        assert_eq!(code, "key_reused");
    }
    assert_eq!(authorizations(&ledger), [first]);
}

#[tokio::test]
async fn a_declined_card_stays_declined() {
    let folder = tempfile::tempdir().expect("a folder");
    let provider = Running::start(&folder.path().join("payments.jsonl")).await;
    for _ in 0..2 {
        let declined = provider
            .gateway
            .authorize("k", &request(1000, DECLINED_CARD))
            .await;
        assert!(matches!(declined, Err(PaymentError::Declined)));
    }
}

#[tokio::test]
async fn a_request_without_a_key_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let provider = Running::start(&folder.path().join("payments.jsonl")).await;
    let refused = provider.gateway.authorize("", &request(1000, "card_1")).await;
    let Err(PaymentError::Refused { code }) = refused else {
        panic!("expected a refusal, got {refused:?}");
    };
    assert_eq!(code, "key_required");
}

#[tokio::test]
async fn a_provider_that_is_away_was_not_asked() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("has an address");
    drop(listener);
    let gateway = PaymentGateway::new(&format!("http://{address}")).expect("builds");
    let answer = gateway.authorize("k", &request(1000, "card_1")).await;
    let Err(PaymentError::NotSent(why)) = answer else {
        panic!("expected that nothing was sent, got {answer:?}");
    };
    assert!(!why.contains(&address.to_string()), "{why}");
}
