-- The shop's own tables, beside the engine's in the same file, so that create_order can commit an
-- order together with its checkpoint. Run at every start by one writer at a time; changes nothing
-- that is there.

CREATE TABLE IF NOT EXISTS stock (
    sku       TEXT PRIMARY KEY,
    available INTEGER NOT NULL CHECK (available >= 0),
    price     INTEGER NOT NULL CHECK (price > 0),
    currency  TEXT NOT NULL
) STRICT;

-- One row per reservation; the key is the idempotency key of the step that made it, the epoch that of
-- the last owner of the execution who changed it. Without lines it is released.
CREATE TABLE IF NOT EXISTS reservations (
    reservation TEXT PRIMARY KEY,
    epoch       INTEGER NOT NULL,
    made_at     TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
) STRICT;

CREATE TABLE IF NOT EXISTS reservation_lines (
    reservation TEXT NOT NULL REFERENCES reservations (reservation),
    sku         TEXT NOT NULL REFERENCES stock (sku),
    qty         INTEGER NOT NULL CHECK (qty > 0),
    unit_price  INTEGER NOT NULL,
    currency    TEXT NOT NULL,
    PRIMARY KEY (reservation, sku)
) STRICT;

CREATE TABLE IF NOT EXISTS orders (
    id            INTEGER PRIMARY KEY,
    order_nr      TEXT NOT NULL UNIQUE,
    -- The run that created it. Unique: the last word against a second order.
    run           BLOB NOT NULL UNIQUE,
    request_id    TEXT NOT NULL,
    status        TEXT NOT NULL,
    reservation   TEXT NOT NULL REFERENCES reservations (reservation),
    payment_ref   TEXT NOT NULL,
    total         INTEGER NOT NULL,
    currency      TEXT NOT NULL,
    card_id       TEXT NOT NULL,
    comment       TEXT,
    created_at    TEXT NOT NULL
) STRICT;

INSERT INTO stock (sku, available, price, currency)
VALUES ('TEA', 1000000, 1000, 'RUB'), ('CUP', 1000, 2500, 'RUB'), ('SAMOVAR', 1, 990000, 'RUB')
ON CONFLICT (sku) DO NOTHING;
