-- Called to order what was offered. $1 owner, $2 request id.
-- One row of the primary key of offers; takes no lock.
SELECT offer
FROM offers
WHERE owner = $1 AND request_id = $2
