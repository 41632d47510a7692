-- Called by: each new writing connection. Index: none. Lock: a read lock for a moment.
PRAGMA journal_mode
