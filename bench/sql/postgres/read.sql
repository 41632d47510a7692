-- A bare replay: state and output of a finished execution.
SELECT e.run_id, e.state, e.input_hash, o.output
FROM {schema}.executions AS e
LEFT JOIN {schema}.checkpoints AS o ON o.run_id = e.run_id AND o.step = e.output_step
WHERE e.id = $1
