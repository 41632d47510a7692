-- Lets the server notice within a second that the client of a running statement is gone. Apart from
-- session.sql because some platforms refuse it.
--
-- Called once for each connection; an error is no harm.
-- Index: none.
-- Lock: none.
SELECT set_config('client_connection_check_interval', '1000', false)
