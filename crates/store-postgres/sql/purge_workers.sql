-- Forgets workers that died more than a day ago. An owner that is no worker counts as dead too.
--
-- Called by `purge`.
-- Index: primary key of workers; a small table.
-- Lock: the deleted rows.
DELETE FROM {schema}.workers AS w
WHERE w.dead AND w.died_at < statement_timestamp() - interval '1 day'
