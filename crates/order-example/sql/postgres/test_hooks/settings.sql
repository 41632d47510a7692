-- Everything else that was asked for. Read with each request; a handful of rows.
SELECT name, value FROM {schema}.test_settings;
