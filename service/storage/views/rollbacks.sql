-- What was taken back, by whom, and on what evidence. An experiment whose treatment was the live version
-- has two rows: its own, and that of the version.
--
-- ts: when
-- kind: experiment or version
-- subject: the experiment (slug@2), or the version that was live
-- returned_to: the version that came back; null for an experiment
-- restored_id: the earlier checkpoint whose bytes it began with; null where it went on from what it knew
-- author: who; headgate where a guardrail did it
-- automatic: whether a guardrail did it
-- reason: why, in words
-- metric: the metric that was harmed; null, as all that follow, where a person did it
-- treatment: the variant that harmed it
-- e_value: the evidence of harm; were there none, it would pass x with a chance of 1/x at most
-- log_e: its logarithm
-- threshold: what the evidence had to pass
-- n: how many were counted in each variant
-- query: SQL over this history that shows what was counted
WITH taken AS (
        SELECT ts, log_seq, 'experiment' AS kind, experiment AS subject, NULL AS returned_to,
               NULL AS restored_id, author, reason, try_cast(cause AS JSON) AS cause
        FROM experiment_steps WHERE step = 'roll back'
        UNION ALL
        SELECT ts, log_seq, 'version', from_version_id, version_id, restored_id, author, reason,
               try_cast(cause AS JSON)
        FROM promotions WHERE how = 'rolled back')
SELECT ts, kind, subject, returned_to, restored_id, author,
       cause ->> 'metric' IS NOT NULL AS automatic, reason, cause ->> 'metric' AS metric,
       cause ->> 'treatment' AS treatment,
       try_cast(cause ->> 'e_value' AS DOUBLE) AS e_value,
       try_cast(cause ->> 'log_e' AS DOUBLE) AS log_e,
       try_cast(cause ->> 'threshold' AS DOUBLE) AS threshold,
       try_cast(cause -> 'n' AS BIGINT[]) AS n, cause ->> 'query' AS query
FROM taken
