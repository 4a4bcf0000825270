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
SELECT session, tenant, arg_min(feature, ts) AS feature,
       arg_min(task, ts) AS task, min(ts) AS started, max(ts) AS ended, count(*) AS turns,
       count(*) FILTER (decided = 'randomised') AS drawn,
       coalesce(list(DISTINCT served ORDER BY served) FILTER (served IS NOT NULL), [])
           AS deployments,
       count(DISTINCT served) <= 1 AS held,
       count(*) FILTER (served_mode = 'fallback') AS fallbacks,
       count(*) FILTER (status <> 200) AS failed,
       sum(tokens_in)::BIGINT AS tokens_in, sum(tokens_out)::BIGINT AS tokens_out,
       sum(cost_micro_usd)::BIGINT AS cost_micro_usd, sum(cost_micro_usd) / 1e6 AS cost_usd,
       count(quality) AS rated, avg(quality) AS quality
FROM rounds WHERE session <> '' GROUP BY session, tenant
