-- What is left of the rows of finished.sql. Reads all of the table.
SELECT count(*) FROM keystep_executions WHERE key_text LIKE 'finished-%'
