-- How long the server has been running, in seconds.
SELECT extract(epoch FROM clock_timestamp() - pg_postmaster_start_time())::float8
