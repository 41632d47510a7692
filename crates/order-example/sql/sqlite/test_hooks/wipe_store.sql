-- Deletes every execution with all that belongs to it; what tells who is alive stays.
DELETE FROM keystep_executions;
DELETE FROM keystep_checkpoints;
DELETE FROM keystep_signals;
DELETE FROM keystep_outbox;
