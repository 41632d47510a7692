-- What server is this? Its version, its role, and the settings that matter, as a new connection
-- finds them. Times are in milliseconds.
--
-- Called once when a handle opens.
-- Index: none.
-- Lock: none.
SELECT
    current_setting('server_version_num')::int AS version,
    pg_is_in_recovery() AS in_recovery,
    current_setting('default_transaction_read_only') = 'on' AS read_only,
    s.name, s.setting
FROM pg_settings AS s
WHERE s.name = ANY ($1::text[])
