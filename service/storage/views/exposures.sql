-- A row for each decision and experiment that it was in. Pinned and forced decisions are in none.
--
-- decision_id: of which decision
-- ts: when it was made
-- experiment: slug and version (slug@2); holdout for the units that no experiment touches
-- variant: which its unit has
-- probability [0 to 1]: of the variant, given that the unit is in the experiment
-- unit: keyed hash of what was assigned
-- task: the class of the request
-- tenant: of the key that asked; empty: none
-- mode: randomised or sticky
-- deployment: the one that was drawn or held
-- propensity [0 to 1]: of that deployment, given the variants
SELECT id AS decision_id, ts, unnest(experiments) AS experiment, unnest(variants) AS variant,
       unnest(variant_probabilities) AS probability, unnest(units) AS unit, task, tenant, mode,
       deployment, propensity
FROM decisions WHERE len(experiments) > 0
