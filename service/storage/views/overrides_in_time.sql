-- What people laid over the policy: from when to when, how it ended, and the decisions that it touched.
--
-- id: of the override
-- action: kill, exclude, force, cost_cap, bounds, pin, kill_experiment or freeze
-- deployment: which; empty where the action takes none
-- task: for which task; empty: all
-- author: who laid it
-- reason: why
-- starts_at: from when
-- expires_at: to when at most
-- ended_at: when it ended; null while it holds
-- how: lifted, expired or renewed; null while it holds
-- ended_by: who lifted or renewed it; headgate where it expired
-- end_reason: why it ended
-- lasted_s [seconds]: from its start to its end; null while it holds
-- decisions: how many it settled, bounded, or took a deployment out of
-- tenant: for whose requests; empty: all
-- tier: for which tier's requests; empty: all
-- target: of pin the version, of kill_experiment the experiment; else empty
-- least: of bounds, the least share of each draw; null: none
-- greatest: of bounds, the greatest share of each draw; null: none
-- usd [US dollars]: of cost_cap, the greatest predicted cost of a request; else null
-- ticket: where it is told of elsewhere; empty: nowhere
-- renews: the override that it goes on with; null: none
-- renewed_by: the override that goes on with it; null: none
SELECT o.id, o.action, o.deployment, o.task, o.author, o.reason, o.starts_at, o.expires_at,
       e.ts AS ended_at, e.how, e.author AS ended_by, e.reason AS end_reason,
       epoch(e.ts) - epoch(o.starts_at) AS lasted_s, coalesce(t.decisions, 0) AS decisions,
       coalesce(o.tenant, '') AS tenant, coalesce(o.tier, '') AS tier,
       coalesce(o.target, '') AS target, o.least, o.greatest, o.usd,
       coalesce(o.ticket, '') AS ticket, o.renews, n.id AS renewed_by
FROM overrides o
LEFT JOIN override_ends e ON e.override_id = o.id
LEFT JOIN (SELECT renews, min(id) AS id FROM overrides WHERE renews IS NOT NULL GROUP BY renews) n
       ON n.renews = o.id
LEFT JOIN (SELECT override_id, count(*) AS decisions FROM decisions
           WHERE override_id IS NOT NULL GROUP BY override_id) t ON t.override_id = o.id
