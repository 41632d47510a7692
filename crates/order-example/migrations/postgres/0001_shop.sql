-- The shop's own tables, in a schema of their own in the engine's database, so that a step can commit
-- its rows together with its checkpoint. Run at every start, as one transaction under a lock so that
-- many processes may start at once; changes nothing that is there.

SELECT pg_advisory_xact_lock(hashtextextended('{schema}', 0));

CREATE SCHEMA IF NOT EXISTS {schema};

CREATE TABLE IF NOT EXISTS {schema}.stock (
    sku       text PRIMARY KEY,
    available bigint NOT NULL CHECK (available >= 0),
    price     bigint NOT NULL CHECK (price > 0),
    currency  text NOT NULL
);

-- The present cart of each customer. Whoever writes for a customer locks this row first.
CREATE TABLE IF NOT EXISTS {schema}.carts (
    owner    text PRIMARY KEY,
    cart_id  text NOT NULL UNIQUE,
    revision bigint NOT NULL,
    -- The lines, as JSON: they are only read and written all together.
    items    text NOT NULL
);

-- What was offered, for ever: an offer that is late is told from one that never was.
CREATE TABLE IF NOT EXISTS {schema}.offers (
    owner      text NOT NULL,
    request_id text NOT NULL,
    -- The offer, as JSON: it never changes.
    offer      text NOT NULL,
    PRIMARY KEY (owner, request_id)
);

-- One row per reservation; the key is the idempotency key of the step that made it, the epoch that of
-- the last owner of the execution who changed it. Without lines it is released.
CREATE TABLE IF NOT EXISTS {schema}.reservations (
    reservation text PRIMARY KEY,
    epoch       bigint NOT NULL,
    made_at     timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS {schema}.reservation_lines (
    reservation text NOT NULL REFERENCES {schema}.reservations (reservation),
    sku         text NOT NULL REFERENCES {schema}.stock (sku),
    qty         integer NOT NULL CHECK (qty > 0),
    PRIMARY KEY (reservation, sku)
);

CREATE SEQUENCE IF NOT EXISTS {schema}.order_numbers;

CREATE TABLE IF NOT EXISTS {schema}.orders (
    order_nr        text PRIMARY KEY,
    -- The run that created it. Unique: the last word against a second order.
    run             uuid NOT NULL UNIQUE,
    owner           text NOT NULL,
    -- The offer that it was made of.
    request_id      text,
    status          text NOT NULL,
    version         bigint NOT NULL,
    -- The version of the owner's list of orders that this version of the order made. The list's own
    -- version is the highest of them.
    orders_version  bigint NOT NULL,
    cart_id         text,
    reservation     text NOT NULL REFERENCES {schema}.reservations (reservation),
    -- The provider's id of the authorization.
    payment_ref     text,
    -- The lines, as JSON.
    items           text NOT NULL,
    total           bigint NOT NULL,
    currency        text NOT NULL,
    -- How it is paid, as JSON.
    payment         text NOT NULL,
    delivery        text NOT NULL,
    delivery_status text,
    comment         text,
    -- Where to, as JSON.
    address         text,
    -- The sum of its payments, the execution that is paying it at the moment, and the key under which
    -- that one asked the payment provider: the key outlives the run that made it.
    paid            bigint NOT NULL DEFAULT 0,
    paying          uuid,
    paying_key      text,
    created_at      timestamptz NOT NULL,
    -- An offer is ordered once, for ever: unlike a key it does not expire.
    UNIQUE (owner, request_id),
    UNIQUE (owner, orders_version)
);

-- One row per execution that pays; the epoch is that of the last owner of it who held an order or let
-- it go.
CREATE TABLE IF NOT EXISTS {schema}.payers (
    execution uuid PRIMARY KEY,
    epoch     bigint NOT NULL
);

CREATE TABLE IF NOT EXISTS {schema}.payments (
    payment_id text PRIMARY KEY,
    -- The run that made it. Unique: the last word against a second payment.
    run        uuid NOT NULL UNIQUE,
    owner      text NOT NULL,
    order_nr   text NOT NULL REFERENCES {schema}.orders (order_nr),
    amount     bigint NOT NULL CHECK (amount > 0),
    currency   text NOT NULL,
    -- How it was paid, as JSON.
    method     text NOT NULL,
    -- The provider's id of the charge.
    charge     text,
    created_at timestamptz NOT NULL
);

CREATE INDEX IF NOT EXISTS payments_of_order ON {schema}.payments (order_nr);

-- What all processes must know, and nobody else.
CREATE TABLE IF NOT EXISTS {schema}.secrets (
    name   text PRIMARY KEY,
    secret text NOT NULL
);

INSERT INTO {schema}.secrets (name, secret)
VALUES ('offers', gen_random_uuid()::text || gen_random_uuid()::text)
ON CONFLICT (name) DO NOTHING;

INSERT INTO {schema}.stock (sku, available, price, currency)
VALUES ('TEA', 1000000, 1000, 'RUB'), ('CUP', 1000, 2500, 'RUB'), ('SAMOVAR', 1, 990000, 'RUB')
ON CONFLICT (sku) DO NOTHING;
