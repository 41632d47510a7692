-- The shop's own tables, in a schema of their own in the engine's database, so that create_order
-- can commit an order together with its checkpoint. Run at every start, as one transaction under a
-- lock so that many processes may start at once; changes nothing that is there.

SELECT pg_advisory_xact_lock(hashtextextended('{schema}', 0));

CREATE SCHEMA IF NOT EXISTS {schema};

CREATE TABLE IF NOT EXISTS {schema}.stock (
    sku       text PRIMARY KEY,
    available bigint NOT NULL CHECK (available >= 0),
    price     bigint NOT NULL CHECK (price > 0),
    currency  text NOT NULL
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
    unit_price  bigint NOT NULL,
    currency    text NOT NULL,
    PRIMARY KEY (reservation, sku)
);

CREATE SEQUENCE IF NOT EXISTS {schema}.order_numbers;

CREATE TABLE IF NOT EXISTS {schema}.orders (
    order_nr      text PRIMARY KEY,
    -- The run that created it. Unique: the last word against a second order.
    run           uuid NOT NULL UNIQUE,
    request_id    text NOT NULL,
    status        text NOT NULL,
    reservation   text NOT NULL REFERENCES {schema}.reservations (reservation),
    payment_ref   text NOT NULL,
    total         bigint NOT NULL,
    currency      text NOT NULL,
    card_id       text NOT NULL,
    comment       text,
    created_at    timestamptz NOT NULL
);

INSERT INTO {schema}.stock (sku, available, price, currency)
VALUES ('TEA', 1000000, 1000, 'RUB'), ('CUP', 1000, 2500, 'RUB'), ('SAMOVAR', 1, 990000, 'RUB')
ON CONFLICT (sku) DO NOTHING;
