-- Called by: each new connection. Index: none. Lock: none.
SELECT sqlite_version()
