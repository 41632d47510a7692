//! Which statements does the shop have? The same list for both databases, one file each.

macro_rules! statements {
    ($database:literal) => {
        pub(in crate::shop) const TABLES: &str =
            include_str!(concat!("../../migrations/", $database, "/0001_shop.sql"));
        statements! { $database,
            ADD_TO_PAID "add_to_paid", CLAIM_PAYER "claim_payer", CLAIM_RESERVATION "claim_reservation",
            COUNTS "counts",
            DELETE_RESERVATION_LINES "delete_reservation_lines", FIND_CART "find_cart",
            FIND_OFFER "find_offer", FIND_ORDER "find_order",
            FIND_ORDER_OF_REQUEST "find_order_of_request", FIND_PAYMENT "find_payment",
            FIND_PAYMENT_LIKE "find_payment_like", FIND_PRODUCT "find_product",
            GIVE_BACK_STOCK "give_back_stock", HOLD_CART "hold_cart", HOLD_ORDER "hold_order",
            INSERT_OFFER "insert_offer", INSERT_ORDER "insert_order", INSERT_PAYMENT "insert_payment",
            INSERT_RESERVATION_LINE "insert_reservation_line", IS_LINE_HELD "is_line_held",
            LET_ORDER_GO "let_order_go", LIST_ORDERS "list_orders", OFFER_SECRET "offer_secret",
            ORDER_RESERVATION "order_reservation", ORDER_TO_PAY "order_to_pay",
            ORDERS_VERSION "orders_version", PING "ping", RESERVATION_LINES "reservation_lines",
            TAKE_STOCK "take_stock", WRITE_CART "write_cart", WRITE_ORDER "write_order",
        }
    };
    ($database:literal, $($name:ident $file:literal),+ $(,)?) => {
        $(pub(in crate::shop) const $name: &str =
            include_str!(concat!("../../sql/", $database, "/", $file, ".sql"));)+
    };
}

pub(super) mod postgres {
    statements!("postgres");
}

pub(super) mod sqlite {
    statements!("sqlite");
}
