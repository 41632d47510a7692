//! What could the database do at best? The same commits without an engine.

pub(crate) mod array;
pub(crate) mod fsync;
pub(crate) mod row;

use uuid::Uuid;

/// Steps in the order in which the bare forms record them.
pub(crate) const STEPS: [&str; 5] = [
    "reserve_stock",
    "authorize_payment",
    "create_order",
    "capture_payment",
    "send_receipt",
];

/// What identifies one bare execution.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bare {
    pub(crate) id: Uuid,
    pub(crate) run: Uuid,
    pub(crate) token: Uuid,
}

impl Bare {
    pub(crate) fn fresh() -> Self {
        Self {
            id: Uuid::new_v4(),
            run: Uuid::now_v7(),
            token: Uuid::new_v4(),
        }
    }
}

/// The bytes of an input or output, as `order5` has them.
pub(crate) fn payload(order: u64) -> Vec<u8> {
    let mut bytes = vec![1];
    bytes.extend(serde_json::to_vec(&crate::schema::Part::first(order)).expect("plain data"));
    bytes
}

/// A statement of the bare form, in the schema of a field.
pub(crate) fn text(file: &str, schema: &str) -> sqlx::SqlStr {
    use sqlx::SqlSafeStr;
    sqlx::AssertSqlSafe(file.replace("{schema}", &format!("\"{schema}\""))).into_sql_str()
}
