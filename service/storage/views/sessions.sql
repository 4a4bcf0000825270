-- A row for each conversation: how long, who answered, what it cost, how it was rated.
--
-- session: keyed hash of its name
-- tenant: of the key that asked; empty: none
-- feature: as its first request says; empty: none
-- task: the class of its first request
-- started: when its first request was decided
-- ended: when its last one was
-- turns: how many requests
-- drawn: how many of them were drawn anew, rather than held, pinned or forced
-- deployments: whose answers the caller got
-- held: whether all answers came from one deployment
-- fallbacks: how many turns were answered by a fallback
-- failed: how many turns nobody answered well (any status but 200)
-- tokens_in [tokens]: of all its calls
-- tokens_out [tokens]: of all its calls
-- cost_micro_usd [micro-dollars]: of all its calls, but those beside the answers
-- cost_usd [US dollars]: the same
-- rated: how many turns were rated on a scale
-- quality [0 to 1]: the mean of these
SELECT d.session, d.tenant, arg_min(d.feature, d.ts) AS feature, arg_min(d.task, d.ts) AS task,
       min(d.ts) AS started, max(d.ts) AS ended, count(*) AS turns,
       count(*) FILTER (d.mode = 'randomised') AS drawn,
       list_sort(list_distinct(list(o.deployment))) AS deployments,
       coalesce(min(o.deployment) = max(o.deployment), true) AS held,
       count(*) FILTER (o.mode = 'fallback') AS fallbacks,
       count(*) FILTER (o.status <> 200) AS failed,
       sum(o.tokens_in)::BIGINT AS tokens_in, sum(o.tokens_out)::BIGINT AS tokens_out,
       sum(o.cost_micro_usd)::BIGINT AS cost_micro_usd, sum(o.cost_micro_usd) / 1e6 AS cost_usd,
       count(r.quality) AS rated, avg(r.quality) AS quality
FROM decisions d
LEFT JOIN outcomes o ON o.decision_id = d.id
LEFT JOIN (SELECT decision_id, avg(quality) AS quality FROM ratings
           WHERE quality IS NOT NULL GROUP BY decision_id) r ON r.decision_id = d.id
WHERE d.session <> '' GROUP BY d.session, d.tenant
