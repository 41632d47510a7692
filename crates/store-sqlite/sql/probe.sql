-- Called by: connect. Index: the primary key. Lock: the database's write lock for a moment.
-- Changes no row, but fails where no row could be changed. BEGIN IMMEDIATE does not: on a file that
-- can only be read it quietly begins a transaction that reads.
UPDATE keystep_format SET version = version WHERE one = 0
