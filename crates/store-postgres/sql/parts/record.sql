e.id, e.token, e.run_id, e.epoch, e.generation, e.state, e.owner, e.plan, e.shape, e.input_hash,
    e.schema_name, e.scope, e.key, e.failure, e.reason, e.cancel, e.parent,
    e.purged_at, e.tries, e.tries_seq, e.lost,
    e.wake_at, e.expires_at, e.created_at, e.acquired_at, e.finished_at,
    statement_timestamp() AS now_at
