-- Each version of an experiment: what it is to show, when it ran, and where it stands.
--
-- experiment: slug and version (slug@2)
-- slug: its name over all versions
-- version: of the experiment
-- layer: in which it draws its units
-- hypothesis: as its design says
-- watch: whether the service made it, to watch a promotion
-- author: who made it
-- created: when
-- started: when it exposed its first units; null for a draft
-- ended: when it was stopped, shipped or rolled back; null while it is not
-- state: draft, running, paused, stopped, shipped or rolled back
-- percent [per cent]: of its units that are exposed now
-- shipped: the variant that everybody gets; null where none was shipped
-- steps: how many were taken
-- last_by: who took the last one
-- last_reason: why
SELECT e.id AS experiment, e.slug, e.version, e.layer,
       try_cast(e.design AS JSON) ->> 'hypothesis' AS hypothesis,
       coalesce(try_cast(try_cast(e.design AS JSON) ->> 'reverse' AS BOOLEAN), false) AS watch,
       e.author, e.ts AS created, s.started, s.ended, coalesce(s.state, 'draft') AS state,
       CASE WHEN s.state = 'running' THEN s.percent ELSE 0 END AS percent, s.shipped,
       coalesce(s.steps, 0) AS steps, s.last_by, s.last_reason
FROM experiments e
LEFT JOIN (
    SELECT experiment, min(ts) FILTER (step = 'start') AS started,
           min(ts) FILTER (after IN ('stopped', 'shipped', 'rolled back')) AS ended,
           arg_max(after, log_seq) AS state, arg_max(percent, log_seq) AS percent,
           CASE WHEN arg_max(after, log_seq) = 'shipped' THEN arg_max(variant, log_seq)
           END AS shipped,
           count(*) AS steps, arg_max(author, log_seq) AS last_by,
           arg_max(reason, log_seq) AS last_reason
    FROM experiment_steps GROUP BY experiment) s ON s.experiment = e.id
