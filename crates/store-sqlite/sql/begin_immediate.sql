-- Called by: the writer, before each batch, each step transaction and each migration.
-- Lock: the database's write lock at once, waiting as long as the busy timeout. A deferred BEGIN
-- would fail at its first write without any wait when another process has written meanwhile.
BEGIN IMMEDIATE
