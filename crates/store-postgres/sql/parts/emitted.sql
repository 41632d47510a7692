,
emitted AS (
    INSERT INTO {schema}.outbox (id, execution, run_id, topic, payload, emitted_at)
    SELECT m.id, h.id, h.run_id, m.topic, m.payload, h.at
    FROM held AS h
    CROSS JOIN unnest($24::uuid[], $25::text[], $26::bytea[])
        WITH ORDINALITY AS m (id, topic, payload, ord)
    WHERE h.verdict = 1
    ORDER BY m.ord
    -- A write without a checkpoint leaves nothing by which a second send is known.
    ON CONFLICT (id) DO NOTHING
)
