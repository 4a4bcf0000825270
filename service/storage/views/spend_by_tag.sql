-- Money by tag. A request with several tags counts under each of them, so these sums are of one tag
-- at a time: added over tags they are more than was spent. Requests without tags are under an empty one.
--
-- hour: in which the call ended, UTC
-- tag: one of the request's; empty: it has none
-- deployment: who was called
-- task: of the request
-- tenant: of the key that asked; empty: none
-- role: first, fallback or hedge; beside the answer shadow and judge
-- calls: how many
-- cost_micro_usd [micro-dollars]: what they cost
-- usd [US dollars]: the same
SELECT hour, tag, deployment, task, tenant, role, sum(calls)::BIGINT AS calls,
       sum(cost_micro_usd)::BIGINT AS cost_micro_usd, sum(cost_micro_usd) / 1e6 AS usd
FROM (SELECT * EXCLUDE (tags),
             unnest(CASE WHEN len(tags) > 0 THEN list_distinct(tags) ELSE [''] END) AS tag
      FROM spend)
GROUP BY ALL
