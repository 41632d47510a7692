-- Called by: connect, migrate and beat.
-- Index: the primary key; one row. Lock: none, or that of the transaction around it.
SELECT version, min_reader FROM keystep_format WHERE one = 1
