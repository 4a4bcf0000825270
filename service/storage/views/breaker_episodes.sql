-- From when to when a breaker left a deployment alone: from its first opening to its closing. A start of
-- the service closes all.
--
-- deployment: which
-- opened: when it opened first
-- closed: when it closed; null while it is open
-- lasted_s [seconds]: between the two; null while it is open
-- why: what opened it first
-- ended: what closed it: the probe was answered, an operator, a start; null while it is open
-- openings: how often it opened in the episode; each but the first follows a probe that failed
-- calls_lost: requests in the episode that could not have the deployment, because it was ejected or
--   its one probe was under way
WITH turns AS (
        SELECT ts, log_seq, subject AS deployment, act = 'breaker.open' AS opens, reason
        FROM acts WHERE act IN ('breaker.open', 'breaker.closed')
        UNION ALL
        SELECT s.ts, s.log_seq, b.deployment, false, 'the service was started'
        FROM acts s, (SELECT DISTINCT subject AS deployment FROM acts
                      WHERE act = 'breaker.open') b
        WHERE s.act = 'service.started'),
     numbered AS (
        SELECT *, coalesce(sum((NOT opens)::INT) OVER (
                   PARTITION BY deployment ORDER BY log_seq
                   ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS episode
        FROM turns),
     episodes AS (
        SELECT deployment, episode, min(ts) FILTER (opens) AS opened,
               max(ts) FILTER (NOT opens) AS closed,
               arg_min(reason, log_seq) FILTER (opens) AS why,
               max(reason) FILTER (NOT opens) AS ended, count(*) FILTER (opens) AS openings
        FROM numbered GROUP BY deployment, episode HAVING count(*) FILTER (opens) > 0),
     lost AS (
        SELECT ts, unnest(disqualified) AS deployment, unnest(disqualified_by) AS why
        FROM decisions WHERE len(disqualified) > 0),
     counted AS (
        SELECT e.deployment, e.episode, count(*) AS calls
        FROM episodes e JOIN lost l ON l.deployment = e.deployment
             AND l.why IN ('ejected', 'probing') AND l.ts >= e.opened
             AND l.ts < coalesce(e.closed, TIMESTAMP 'infinity')
        GROUP BY ALL)
SELECT e.deployment, e.opened, e.closed, epoch(e.closed) - epoch(e.opened) AS lasted_s, e.why,
       e.ended, e.openings, coalesce(c.calls, 0) AS calls_lost
FROM episodes e
LEFT JOIN counted c ON c.deployment = e.deployment AND c.episode = e.episode
