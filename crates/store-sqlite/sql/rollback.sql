-- Called by: the writer, for a transaction that must not happen. Frees the write lock.
ROLLBACK
