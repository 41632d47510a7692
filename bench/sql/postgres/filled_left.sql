-- What is left of the rows of finished.sql. Reads all of the table.
SELECT count(*) FROM {schema}.executions AS e WHERE e.key LIKE 'finished-%'
