-- Looks at all other live workers: their beats and, if $2, whether their liveness sessions stand.
-- $3 turns a worker's id into the key of its lock; $4 is the worker whose lock this session holds
-- itself, or NULL.
-- Always at least one row, for the server itself.
--
-- Called by `observe`, on the liveness session.
-- Index: workers_live.
-- Lock: for a moment, a shared advisory lock of each worker whose session is gone. It is shared so
-- that several observers do not take each other for a live session.
SELECT
    (extract(epoch FROM clock_timestamp() - pg_postmaster_start_time()) * 1000000)::bigint
        AS server_age,
    {incarnation} AS incarnation,
    w.id, w.beat, w.shapes,
    CASE
        WHEN w.id = $4::bigint THEN true
        WHEN $2::boolean THEN NOT pg_try_advisory_xact_lock_shared(w.id # $3::bigint)
    END AS session
FROM (VALUES (true)) AS server (is_up)
LEFT JOIN {schema}.workers AS w ON NOT w.dead AND w.id <> $1::bigint
