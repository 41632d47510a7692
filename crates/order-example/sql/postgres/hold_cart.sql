-- Called first in each transaction that writes for a customer: makes the cart of somebody who has none,
-- and keeps others from writing for the customer meanwhile. $1 owner, $2 id for a new cart.
-- One row of the primary key of carts; locks the row until the transaction ends.
INSERT INTO {schema}.carts (owner, cart_id, revision, items)
VALUES ($1, $2, 0, '[]')
ON CONFLICT (owner) DO UPDATE SET owner = excluded.owner
RETURNING cart_id, revision, items
