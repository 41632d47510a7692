//! How do clients of two older order services go on as they are? Under mounts of their own, which answer
//! as those services did. Nothing of the story depends on this room.
//!
//! | mount | order | key | the same key with another body |
//! |---|---|---|---|
//! | `otus08` | `POST /compat/otus08/?profileId=P` `{"productQuantity":2}` → 201, the bare id | header `Idempotency-Key` | 201, the first id |
//! | `otusma` | `POST /compat/otusma/v1/order` → 200, `{"order_id":…}` | header `X-Idempotency-Key` | 200, the first id |
//!
//! Behind both are orders of this shop: so much tea, paid in cash. They are kept apart from what the user
//! orders in the shop itself.

mod otus08;
mod otusma;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use keystep::{Engine, EngineBuilder, Schema};
use keystep_http::{FrontDoor, Operation, Problem};

use crate::config::Policies;
use crate::domain::{Checkout, Delivery, Line, Offer, Payment, Receipt, Seen};
use crate::http::{Api, doors, shop_unavailable};
use crate::workflow::{Policy, key_of, order_create};

/// The product that the older services sold.
const PRODUCT: &str = "TEA";

/// The schemas behind the mounts.
pub struct Compat {
    otus08: Schema<Checkout, Receipt>,
    otusma: Schema<Checkout, Receipt>,
    policies: Policies,
}

/// The mounts of a service that runs.
pub struct OpenCompat {
    otus08: FrontDoor<Checkout, Receipt>,
    otusma: FrontDoor<Checkout, Receipt>,
}

impl Compat {
    /// The mounts under these policies, as far as the older services had them.
    pub fn new(policies: &Policies) -> Self {
        let policy = doors::workflow_policy(policies);
        Self {
            otus08: one_order("compat.otus08", policy),
            otusma: one_order("compat.otusma", policy),
            policies: policies.clone(),
        }
    }

    /// Registers the schemas with an engine.
    pub fn register(&self, builder: EngineBuilder) -> EngineBuilder {
        builder.schema(self.otus08.clone()).schema(self.otusma.clone())
    }

    /// Opens the mounts on an engine that knows the schemas.
    pub fn open(self, engine: &Engine) -> OpenCompat {
        let otus08 = otus08::operation(doors::chosen(
            Operation::post("compat.otus08", "/compat/otus08/"),
            &self.policies,
        ));
        let otusma = otusma::operation(doors::chosen(
            Operation::post("compat.otusma", "/compat/otusma/v1/order"),
            &self.policies,
        ));
        OpenCompat {
            otus08: FrontDoor::new(engine.clone(), self.otus08, otus08),
            otusma: FrontDoor::new(engine.clone(), self.otusma, otusma),
        }
    }
}

/// The routes of both mounts.
pub fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/compat/otus08/", post(otus08::create).get(otus08::list))
        .route("/compat/otus08/{id}", get(otus08::show))
        .route("/compat/otusma/v1/order", post(otusma::create))
}

/// A schema of one step, which makes an order.
fn one_order(name: &str, policy: Policy) -> Schema<Checkout, Receipt> {
    let order_create = order_create(policy);
    Schema::new(name)
        .retention(policy.retention)
        .step("order", move |cx: keystep::StepContext, checkout: Checkout| {
            let order_create = order_create.clone();
            async move {
                let key = key_of(&checkout.owner, cx.idempotency_key());
                cx.call(&order_create, key, checkout).await
            }
        })
        .build()
}

/// So many of the product, paid in cash.
///
/// # Errors
///
/// The shop does not answer.
async fn tea(api: &Api, owner: String, qty: i32, comment: Option<String>) -> Result<Checkout, Problem> {
    let price = api.shop.price(PRODUCT).await.map_err(shop_unavailable)?;
    let price =
        price.ok_or_else(|| Problem::new(keystep_http::kinds::NOT_FOUND, "The product is not sold."))?;
    let items = vec![Line {
        sku: PRODUCT.to_owned(),
        qty,
        unit_price: price,
    }];
    let offer = Offer {
        request_id: None,
        cart: None,
        payment: Payment::Cash {},
        delivery: Delivery::Courier,
        total: Line::total(&items),
        items,
    };
    Ok(Checkout {
        owner,
        offer,
        comment,
        seen_orders: Seen::Any,
    })
}
