-- Called before a product is put into a cart: does the catalogue know it, and what does it cost?
-- $1 sku. One row of the primary key of stock; takes no lock.
SELECT price, currency
FROM stock
WHERE sku = $1
