-- Deletes every execution with all that belongs to it; what tells who is alive stays.
DELETE FROM {schema}.executions;
DELETE FROM {schema}.checkpoints;
DELETE FROM {schema}.signals;
DELETE FROM {schema}.outbox;
