-- What people laid over the policy: from when to when, how it ended, and the decisions that it touched.
--
-- id: of the override
-- action: force or exclude
-- deployment: which
-- task: for which task; empty: all
-- author: who laid it
-- reason: why
-- starts_at: from when
-- expires_at: to when at most
-- ended_at: when it ended; null while it holds
-- how: lifted or expired; null while it holds
-- ended_by: who lifted it; headgate where it expired
-- end_reason: why it ended
-- lasted_s [seconds]: from its start to its end; null while it holds
-- decisions: how many it forced, or took the deployment out of
SELECT o.id, o.action, o.deployment, o.task, o.author, o.reason, o.starts_at, o.expires_at,
       e.ts AS ended_at, e.how, e.author AS ended_by, e.reason AS end_reason,
       epoch(e.ts) - epoch(o.starts_at) AS lasted_s, coalesce(t.decisions, 0) AS decisions
FROM overrides o
LEFT JOIN override_ends e ON e.override_id = o.id
LEFT JOIN (SELECT override_id, count(*) AS decisions FROM decisions
           WHERE override_id IS NOT NULL GROUP BY override_id) t ON t.override_id = o.id
