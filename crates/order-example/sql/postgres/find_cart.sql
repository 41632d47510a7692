-- Called to show a cart. $1 owner.
-- One row of the primary key of carts; takes no lock.
SELECT cart_id, revision, items
FROM {schema}.carts
WHERE owner = $1
