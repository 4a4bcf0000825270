-- A row for each call with its money, its tokens and the labels of its request, to be summed: what was
-- paid to providers, calls beside the answer (shadow, judge) included. Its sums are those of attempts.
--
-- hour: in which the call ended, UTC
-- deployment: who was called
-- provider: whose it is
-- role: first, fallback, hedge, or batch (in a provider's); beside the answer shadow and judge
-- task: of the request; null, as all labels are, where the decision was lost in a kill
-- tenant: of the key that asked; empty: none
-- tier: of the key that asked; empty: none
-- feature: as the request says; empty: none
-- tags: as the request says, together; the view spend_by_tag has them one by one
-- calls: 1, to be summed
-- failed: 1 where it ended in an error, else 0
-- tokens_in [tokens]: as the provider says
-- tokens_out [tokens]: as the provider says
-- cached_tokens [tokens]: those of tokens_in that the provider took from a cache
-- cost_micro_usd [micro-dollars]: what it cost
-- usd [US dollars]: the same
-- ts: when the call ended
-- decision_id: of which request
SELECT date_trunc('hour', a.ts) AS hour, a.deployment, a.provider, a.role,
       d.task, d.tenant, d.tier, d.feature, d.tags,
       1::BIGINT AS calls, (a.error_kind IS NOT NULL)::BIGINT AS failed,
       a.tokens_in, a.tokens_out, a.cached_tokens, a.cost_micro_usd, a.cost_micro_usd / 1e6 AS usd,
       a.ts, a.decision_id
FROM attempts a LEFT JOIN decisions d ON d.id = a.decision_id
