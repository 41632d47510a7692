-- Goes on with the next file of the log; something must have been written since the last one.
SELECT pg_logical_emit_message(false, '', ''), pg_switch_wal()
