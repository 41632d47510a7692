-- Called by: a new writing connection whose file is not in WAL mode yet. Index: none.
-- Lock: the whole file for a moment; SQLite does not wait for it, so the caller tries again.
PRAGMA journal_mode = WAL
