-- A row for each call with all that it was billed for and the labels of its request: the ledger. Failed,
-- hedged, cancelled and partial calls and those beside the answer are rows too; its sums are those of
-- attempts.
--
-- ts: when the call ended
-- day: the day of that, UTC
-- decision_id: of which request
-- number: of which of its calls
-- deployment: who was called
-- model: what the provider calls it, by the newest price that was logged; the deployment where none was
-- provider: whose it is
-- role: why it was made; beside the answer shadow, judge, classify and summary
-- beside: whether it was beside the answer, so that no caller paid for it
-- failed: whether it ended in an error
-- error_kind: which
-- status: of the provider
-- task: of the request; null, as all labels are, where the decision was lost in a kill
-- tenant: of the key that asked; empty: none
-- key_id: the key that asked
-- tier: of the key that asked; empty: none
-- feature: as the request says; empty: none
-- tag: the tags of the request together, in order, as one text; so that each call is under one
-- tokens_in [tokens]: as the provider says
-- tokens_out [tokens]: as the provider says
-- cached_tokens [tokens]: those of tokens_in that the provider took from a cache
-- cache_write_tokens [tokens]: those of tokens_in that it wrote to one
-- reasoning_tokens [tokens]: those of tokens_out that were reasoning
-- images: made
-- characters: of input, where they have a price
-- estimated: true where the provider did not say, and we counted
-- cost_micro_usd [micro-dollars]: what it cost
SELECT a.ts, CAST(a.ts AS DATE) AS day, a.decision_id, a.number, a.deployment,
       coalesce(t.model, a.deployment) AS model, a.provider, a.role,
       a.role IN ('shadow', 'judge', 'classify', 'summary') AS beside, a.error_kind IS NOT NULL AS failed,
       a.error_kind, a.status, d.task, d.tenant, d.key_id, d.tier, d.feature,
       array_to_string(list_sort(list_distinct(d.tags)), ' + ') AS tag,
       a.tokens_in, a.tokens_out, a.cached_tokens,
       coalesce(c.cache_write_tokens, 0) AS cache_write_tokens,
       coalesce(c.reasoning_tokens, 0) AS reasoning_tokens, coalesce(c.images, 0) AS images,
       coalesce(c.characters, 0) AS characters, a.estimated, a.cost_micro_usd
FROM attempts a
LEFT JOIN decisions d ON d.id = a.decision_id
LEFT JOIN charges c ON c.decision_id = a.decision_id AND c.number = a.number
LEFT JOIN (SELECT deployment, arg_max(model, log_seq) AS model FROM tariffs GROUP BY deployment) t
       ON t.deployment = a.deployment
