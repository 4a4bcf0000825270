-- When the policy came to see a deployment otherwise: new, changed in quality, slow or failing, or well
-- again. From the states beside the weights.
--
-- ts: when
-- deployment: which
-- kind: new (on trial), quality (re-exploring: its quality changed), health (held back: slow or
--   failing), over (steady again)
-- was: the state before; null where none was known
-- now: the state since
-- why: what the policy said of it, of the task where its share moved most
-- tasks: the tasks in which it was weighed at that moment
-- moved [-1 to 1]: the greatest change of its share among these, with its sign
WITH seen AS (
        SELECT ts, task, deployment, state, why, share, log_seq,
               lag(state) OVER each AS was, share - lag(share) OVER each AS moved
        FROM weights WHERE state <> ''
        WINDOW each AS (PARTITION BY task, deployment ORDER BY log_seq)),
     turned AS (
        SELECT * FROM seen
        WHERE was IS DISTINCT FROM state AND (was IS NOT NULL OR state <> 'steady'))
SELECT ts, deployment,
       CASE state WHEN 'on trial' THEN 'new' WHEN 're-exploring' THEN 'quality'
                  WHEN 'held back' THEN 'health' ELSE 'over' END AS kind,
       was, state AS now, arg_max(why, abs(coalesce(moved, 0))) AS why,
       list(task ORDER BY task) AS tasks, arg_max(moved, abs(moved)) AS moved
FROM turned GROUP BY ts, deployment, was, state
