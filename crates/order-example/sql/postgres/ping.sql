-- Called by /readyz: does the database answer, and are the shop's tables there?
SELECT EXISTS (SELECT 1 FROM {schema}.stock)
