-- Called before a checkout is accepted: which of these products exist?
-- $1 array of sku. Looks each up in the primary key of stock; takes no lock.
SELECT sku
FROM {schema}.stock
WHERE sku = ANY ($1)
