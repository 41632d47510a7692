-- The checkpoints of the finished executions that `finished.sql` makes of the same arguments.
WITH RECURSIVE number (n) AS (
    SELECT ?2
    UNION ALL
    SELECT n + 1 FROM number WHERE n < ?3
)
INSERT INTO keystep_checkpoints (
    run_id, step, seq, epoch, worker, write_id, attempt, lost, recorded_at, output
)
SELECT
    unhex(printf('%012x7%03x8%015x', ?4 + n / ?5, n % ?5, n)), c.step, c.seq, c.epoch, c.worker,
    CASE c.step WHEN m.output_step THEN unhex(printf('%032x', n)) ELSE randomblob(16) END,
    c.attempt, c.lost, c.recorded_at, c.output
FROM number, keystep_executions AS m, keystep_checkpoints AS c
WHERE m.id = ?1 AND c.run_id = m.run_id
