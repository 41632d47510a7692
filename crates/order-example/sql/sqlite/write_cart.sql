-- Called when a cart has a new revision, or an order has closed it and a new one takes its place.
-- $1 owner, $2 cart, $3 revision, $4 items. After hold_cart, in its transaction.
UPDATE carts
SET cart_id = $2, revision = $3, items = $4
WHERE owner = $1
