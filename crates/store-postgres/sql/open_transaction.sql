-- Begins a step's own transaction: read committed whatever the role's default is, durable, and with
-- bounds where the role has none, so that a stopped process does not hold its rows for ever.
--
-- Called by `transaction`.
-- Index: none.
-- Lock: none.
BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
SELECT
    set_config(
        'synchronous_commit',
        CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END,
        true
    ),
    set_config(
        'idle_in_transaction_session_timeout',
        CASE current_setting('idle_in_transaction_session_timeout') WHEN '0' THEN '10s' ELSE current_setting('idle_in_transaction_session_timeout') END,
        true
    ),
    set_config(
        'lock_timeout',
        CASE current_setting('lock_timeout') WHEN '0' THEN '5s' ELSE current_setting('lock_timeout') END,
        true
    )
