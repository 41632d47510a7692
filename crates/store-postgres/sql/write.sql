-- Begins executions and records the usual writes of owners, in one statement and one commit:
-- begin.sql and commit.sql together. Answers with the tokens that began and the numbers of the
-- writes that were written; a key that is there already is read by find.sql. $1-$15 are those of
-- commit.sql, $16-$27 are $2-$13 of begin.sql.
--
-- Called by the lanes for a batch of both.
-- Index: primary keys of executions and checkpoints.
-- Lock: as begin.sql and commit.sql. Nothing here waits for the lock of an existing row.
WITH {commit},
{success},
{begin_after_commit}
SELECT
    {incarnation} AS incarnation,
    (SELECT array_agg(n.token) FROM begun AS n) AS begun,
    (SELECT array_agg(h.ord) FROM held AS h) AS written
