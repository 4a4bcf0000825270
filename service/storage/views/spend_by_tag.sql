-- A row for each call and tag of its request. One with several tags counts under each of them, so sums
-- are of one tag at a time: added over tags they are more than was spent. Requests without tags are
-- under an empty one.
--
-- hour: in which the call ended, UTC
-- tag: one of the request's; empty: it has none
-- deployment: who was called
-- task: of the request
-- tenant: of the key that asked; empty: none
-- role: first, fallback, hedge, or batch (in a provider's); beside the answer shadow and judge
-- calls: 1, to be summed
-- cost_micro_usd [micro-dollars]: what it cost
-- usd [US dollars]: the same
SELECT hour, unnest(CASE WHEN len(tags) > 0 THEN tags ELSE [''] END) AS tag, deployment, task,
       tenant, role, calls, cost_micro_usd, usd
FROM spend
