-- Called by: a step's transaction, as its first statement after the BEGIN.
-- The savepoint ends with the transaction: see unmark.sql.
SAVEPOINT keystep_step
