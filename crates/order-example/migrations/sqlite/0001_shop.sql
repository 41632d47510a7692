-- The shop's own tables, beside the engine's in the same file, so that a step can commit its rows
-- together with its checkpoint. Run at every start by one writer at a time; changes nothing that is
-- there.

CREATE TABLE IF NOT EXISTS stock (
    sku       TEXT PRIMARY KEY,
    available INTEGER NOT NULL CHECK (available >= 0),
    price     INTEGER NOT NULL CHECK (price > 0),
    currency  TEXT NOT NULL
) STRICT;

-- The present cart of each customer.
CREATE TABLE IF NOT EXISTS carts (
    owner    TEXT PRIMARY KEY,
    cart_id  TEXT NOT NULL UNIQUE,
    revision INTEGER NOT NULL,
    -- The lines, as JSON: they are only read and written all together.
    items    TEXT NOT NULL
) STRICT;

-- What was offered, for ever: an offer that is late is told from one that never was.
CREATE TABLE IF NOT EXISTS offers (
    owner      TEXT NOT NULL,
    request_id TEXT NOT NULL,
    -- The offer, as JSON: it never changes.
    offer      TEXT NOT NULL,
    PRIMARY KEY (owner, request_id)
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
    PRIMARY KEY (reservation, sku)
) STRICT;

CREATE TABLE IF NOT EXISTS orders (
    id              INTEGER PRIMARY KEY,
    order_nr        TEXT NOT NULL UNIQUE,
    -- The run that created it. Unique: the last word against a second order.
    run             BLOB NOT NULL UNIQUE,
    owner           TEXT NOT NULL,
    -- The offer that it was made of.
    request_id      TEXT,
    status          TEXT NOT NULL,
    version         INTEGER NOT NULL,
    -- The version of the owner's list of orders that this version of the order made. The list's own
    -- version is the highest of them.
    orders_version  INTEGER NOT NULL,
    cart_id         TEXT,
    reservation     TEXT NOT NULL REFERENCES reservations (reservation),
    -- The provider's id of the authorization.
    payment_ref     TEXT,
    -- The lines, as JSON.
    items           TEXT NOT NULL,
    total           INTEGER NOT NULL,
    currency        TEXT NOT NULL,
    -- How it is paid, as JSON.
    payment         TEXT NOT NULL,
    delivery        TEXT NOT NULL,
    delivery_status TEXT,
    comment         TEXT,
    -- Where to, as JSON.
    address         TEXT,
    -- The sum of its payments, the execution that is paying it at the moment, and the key under which
    -- that one asked the payment provider: the key outlives the run that made it.
    paid            INTEGER NOT NULL DEFAULT 0,
    paying          BLOB,
    paying_key      TEXT,
    created_at      TEXT NOT NULL,
    -- An offer is ordered once, for ever: unlike a key it does not expire.
    UNIQUE (owner, request_id),
    UNIQUE (owner, orders_version)
) STRICT;

-- One row per execution that pays; the epoch is that of the last owner of it who held an order or let
-- it go.
CREATE TABLE IF NOT EXISTS payers (
    execution BLOB PRIMARY KEY,
    epoch     INTEGER NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS payments (
    payment_id TEXT PRIMARY KEY,
    -- The run that made it. Unique: the last word against a second payment.
    run        BLOB NOT NULL UNIQUE,
    owner      TEXT NOT NULL,
    order_nr   TEXT NOT NULL REFERENCES orders (order_nr),
    amount     INTEGER NOT NULL CHECK (amount > 0),
    currency   TEXT NOT NULL,
    -- How it was paid, as JSON.
    method     TEXT NOT NULL,
    -- The provider's id of the charge.
    charge     TEXT,
    created_at TEXT NOT NULL
) STRICT;

CREATE INDEX IF NOT EXISTS payments_of_order ON payments (order_nr);

-- What all processes must know, and nobody else.
CREATE TABLE IF NOT EXISTS secrets (
    name   TEXT PRIMARY KEY,
    secret TEXT NOT NULL
) STRICT;

INSERT INTO secrets (name, secret)
VALUES ('offers', lower(hex(randomblob(32))))
ON CONFLICT (name) DO NOTHING;

INSERT INTO stock (sku, available, price, currency)
VALUES ('TEA', 1000000, 1000, 'RUB'), ('CUP', 1000, 2500, 'RUB'), ('SAMOVAR', 1, 990000, 'RUB')
ON CONFLICT (sku) DO NOTHING;
