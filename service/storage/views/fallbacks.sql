-- A row for each call that was made because another one had failed.
--
-- decision_id: of which request
-- ts: when the fallback's call ended
-- task: of the request
-- tenant: of the key that asked; empty: none
-- feature: as the request says; empty: none
-- drawn: the deployment that the decision drew
-- failed: the deployment whose call failed last before it; it may be the same one, tried once more
-- error_kind: how that call failed
-- lost_s [seconds]: what that call took
-- lost_usd [US dollars]: what that call cost
-- tried: the deployment that was called instead
-- number: which call of the request this is, from 1
-- answered: whether it answered
-- served: the deployment whose answer the caller got in the end; null when nobody answered
-- status: the request's in the end
WITH fallen AS (SELECT * FROM attempts WHERE role = 'fallback'),
     before AS (
        SELECT f.decision_id, f.number,
               arg_max({'deployment': a.deployment, 'error_kind': a.error_kind,
                        'latency_s': a.latency_s, 'cost': a.cost_micro_usd}, a.number) AS call
        FROM fallen f
        JOIN attempts a ON a.decision_id = f.decision_id AND a.number < f.number
        WHERE a.role NOT IN ('shadow', 'judge', 'classify', 'summary') AND a.error_kind IS NOT NULL
              AND a.error_kind <> 'cancelled'
        GROUP BY f.decision_id, f.number)
SELECT f.decision_id, f.ts, d.task, d.tenant, d.feature, d.deployment AS drawn,
       b.call.deployment AS failed, b.call.error_kind AS error_kind, b.call.latency_s AS lost_s,
       b.call.cost / 1e6 AS lost_usd, f.deployment AS tried, f.number,
       f.error_kind IS NULL AS answered, o.deployment AS served, o.status
FROM fallen f
LEFT JOIN before b ON b.decision_id = f.decision_id AND b.number = f.number
LEFT JOIN decisions d ON d.id = f.decision_id
LEFT JOIN outcomes o ON o.decision_id = f.decision_id
