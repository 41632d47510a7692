-- Called before a checkout is accepted: which of these products exist?
-- $1 JSON array of sku. Looks each up in the primary key of stock; takes no lock.
SELECT sku
FROM stock
WHERE sku IN (SELECT value FROM json_each($1))
