-- Called for each offer that is made; the same one may be made any number of times.
-- $1 owner, $2 request id, $3 offer. Leans on the primary key of offers.
INSERT INTO {schema}.offers (owner, request_id, offer)
VALUES ($1, $2, $3)
ON CONFLICT (owner, request_id) DO NOTHING
