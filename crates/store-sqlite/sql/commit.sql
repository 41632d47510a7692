-- Called by: the writer, at the end of a transaction. Frees the write lock.
COMMIT
