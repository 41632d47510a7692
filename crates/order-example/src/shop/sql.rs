//! Which statements does the shop have? The same list for both databases, one file each.

macro_rules! statements {
    ($database:literal) => {
        pub(in crate::shop) const TABLES: &str =
            include_str!(concat!("../../migrations/", $database, "/0001_shop.sql"));
        statements! { $database,
            CLAIM_RESERVATION "claim_reservation", COUNTS "counts",
            DELETE_RESERVATION_LINES "delete_reservation_lines", FIND_ORDER "find_order",
            GIVE_BACK_STOCK "give_back_stock", INSERT_ORDER "insert_order",
            INSERT_RESERVATION_LINE "insert_reservation_line",
            KNOWN_PRODUCTS "known_products", PING "ping", RESERVATION_LINE "reservation_line",
            RESERVATION_LINES "reservation_lines", TAKE_STOCK "take_stock",
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
