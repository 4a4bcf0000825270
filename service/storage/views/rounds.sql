-- A row for each decision with what came of it: who was drawn and who answered, what it took and cost,
-- how it was rated, and the reward.
--
-- id: of the decision
-- ts: when it was made
-- task: the class of the request
-- tenant: of the key that asked; empty: none
-- feature: as the request says; empty: none
-- decided: how it was decided: randomised, sticky, pinned, override
-- drawn: the deployment that was drawn, held, pinned or forced
-- propensity [0 to 1]: the exact probability of that deployment
-- eligible: the deployments that could be drawn
-- propensities [0 to 1]: of each of these, in that order
-- policy: the policy's name
-- version_id: under which version
-- override_id: the override that forced it, or whose exclusion took a deployment out
-- unit: keyed hash of the session, else of the user; empty when there is neither
-- session: keyed hash of the session; empty when there is none
-- tokens_in_estimate [tokens]: of the prompt, as we counted before the call
-- served: the deployment whose answer the caller got; null when nobody answered
-- served_mode: how it was served: as decided, fallback, or batch (in a provider's)
-- status: 200; 499 when the caller left; 502 when a stream broke off; else the error's
-- error_kind: of the last call, if it failed
-- latency_s [seconds]: of the whole request; null where it was answered in a provider's batch
-- ttft_s [seconds]: to the first content, on streams
-- attempts: how many calls it took, those beside the answer not counted
-- tokens_in [tokens]: sum over these calls, as the providers say
-- tokens_out [tokens]: sum over these calls
-- cost_micro_usd [micro-dollars]: sum over these calls
-- cost_usd [US dollars]: the same
-- quality [0 to 1]: the mean of the ratings on a scale in force; null when there is none
-- rated_at: when the last of these was given
-- reward [0 to 1]: quality less cost and waiting at the exchange rates of the version; 0 where the
--   request failed, null where nobody rated it yet, or where it was answered in a provider's batch
-- tier: of the key that asked; empty: none
-- tags: as the request says
-- session_decision_id: of a sticky decision: the session's drawn one
-- labelled: the task that it is, by a person; null where nobody said
SELECT d.id, d.ts, d.task, d.tenant, d.feature, d.mode AS decided, d.deployment AS drawn,
       d.propensity, d.eligible, d.propensities, d.policy, d.version_id, d.override_id,
       d.unit, d.session, d.tokens_in AS tokens_in_estimate,
       o.deployment AS served, o.mode AS served_mode, o.status, o.error_kind,
       CASE WHEN o.mode <> 'batch' THEN o.latency_s END AS latency_s, o.ttft_s, o.attempts, o.tokens_in, o.tokens_out,
       o.cost_micro_usd, o.cost_micro_usd / 1e6 AS cost_usd,
       r.quality, r.rated_at,
       CASE WHEN o.mode = 'batch' THEN NULL WHEN o.status >= 500 THEN 0.0 WHEN r.quality IS NULL THEN NULL
            ELSE greatest(0.0, least(1.0, r.quality
                 - (o.cost_micro_usd / 1e6) / v.worth_usd - o.latency_s / v.patience_s))
       END AS reward,
       d.tier, d.tags, d.session_decision_id, l.label AS labelled
FROM decisions d
LEFT JOIN (SELECT id AS version_id, (parameters -> 'scale' ->> 'worth_usd')::DOUBLE AS
                  worth_usd, (parameters -> 'scale' ->> 'patience_s')::DOUBLE AS patience_s
           FROM versions) v ON v.version_id = d.version_id
LEFT JOIN outcomes o ON o.decision_id = d.id
LEFT JOIN (SELECT decision_id, arg_max(label, ts) AS label FROM labels GROUP BY decision_id) l
       ON l.decision_id = d.id
LEFT JOIN (SELECT decision_id, avg(quality) AS quality, max(ts) AS rated_at
           FROM ratings WHERE quality IS NOT NULL GROUP BY decision_id) r
       ON r.decision_id = d.id
