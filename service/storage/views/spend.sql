-- Money and tokens of all calls, by hour, deployment, role and the labels of the request: what was
-- paid to providers, calls beside the answer (shadow, judge) included. Its sums are those of attempts.
--
-- hour: in which the call ended, UTC
-- deployment: who was called
-- provider: whose it is
-- role: first, fallback or hedge; beside the answer shadow and judge
-- task: of the request; null, as all labels are, where the decision was lost in a kill
-- tenant: of the key that asked; empty: none
-- tier: of the key that asked; empty: none
-- feature: as the request says; empty: none
-- tags: as the request says, together; the view spend_by_tag has them one by one
-- calls: how many
-- failed: how many of them ended in an error
-- tokens_in [tokens]: as the providers say
-- tokens_out [tokens]: as the providers say
-- cached_tokens [tokens]: those of tokens_in that the providers took from a cache
-- cost_micro_usd [micro-dollars]: what they cost
-- usd [US dollars]: the same
SELECT date_trunc('hour', a.ts) AS hour, a.deployment, a.provider, a.role,
       d.task, d.tenant, d.tier, d.feature, d.tags,
       count(*) AS calls, count(a.error_kind) AS failed,
       sum(a.tokens_in)::BIGINT AS tokens_in, sum(a.tokens_out)::BIGINT AS tokens_out,
       sum(a.cached_tokens)::BIGINT AS cached_tokens,
       sum(a.cost_micro_usd)::BIGINT AS cost_micro_usd, sum(a.cost_micro_usd) / 1e6 AS usd
FROM attempts a LEFT JOIN decisions d ON d.id = a.decision_id
GROUP BY ALL
