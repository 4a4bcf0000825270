-- The share that each deployment had of a task, from when to when, and why it moved.
--
-- ts: from when
-- until: to when: that of the next row of the same task and deployment; null for the last one
-- task: of which task
-- deployment: whose share
-- share [0 to 1]: the mean propensity over the last requests of the task
-- moved [-1 to 1]: the share less the one before it; null for the first one
-- why: what moved it most, in words; empty where nothing did
-- state: steady, on trial, re-exploring or held back; null in rows from before the column
-- quality [0 to 1]: as the policy expected it
-- cost_usd [US dollars]: of a request, as expected
-- latency_s [seconds]: as expected
-- error_rate [0 to 1]: as expected
-- utility: as the policy weighs these
-- contexts: over how many requests the means are
-- update_seq: the last update that the policy had learned
SELECT ts, lead(ts) OVER each AS until, task, deployment, share,
       share - lag(share) OVER each AS moved, why, state, quality, cost_usd, latency_s,
       error_rate, utility, contexts, update_seq
FROM weights
WINDOW each AS (PARTITION BY task, deployment ORDER BY log_seq)
