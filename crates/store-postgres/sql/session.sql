-- Sets up a connection of our own: bounded waits, read committed, durable commits, and plans that
-- use the indexes. On an empty table the planner would choose to read it whole, and keep that plan.
-- $1 statement, $2 lock and $3 idle-in-transaction time-out, each in milliseconds.
--
-- Called once for each connection, unless it goes through a transaction pooler.
-- Index: none.
-- Lock: none.
SELECT
    set_config('statement_timeout', $1::text, false),
    set_config('lock_timeout', $2::text, false),
    set_config('idle_in_transaction_session_timeout', $3::text, false),
    set_config('tcp_keepalives_idle', '5', false),
    set_config('tcp_keepalives_interval', '2', false),
    set_config('tcp_keepalives_count', '3', false),
    set_config('tcp_user_timeout', '10000', false),
    set_config('default_transaction_isolation', 'read committed', false),
    set_config(
        'synchronous_commit',
        CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END,
        false
    ),
    set_config('plan_cache_mode', 'force_generic_plan', false),
    set_config('enable_seqscan', 'off', false),
    set_config('enable_hashjoin', 'off', false),
    set_config('enable_mergejoin', 'off', false),
    set_config('jit', 'off', false),
    set_config('work_mem', '32MB', false)
