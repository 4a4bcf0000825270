-- Every alert from its firing to its end, what was done about it, and who saw to it.
--
-- alert_id: which
-- rule: that fired
-- scope: the deployment, experiment or part of the rule that it is of; empty: the whole service
-- severity: page or ticket; page where somebody was called later
-- fired: when
-- resolved: when it ended; null while it lasts
-- lasted_s [seconds]: between the two; null while it lasts
-- value: what was measured when it fired, in the rule's unit; null where nothing is
-- threshold: what it was held against; null where nothing is
-- text: what people were told when it fired
-- paged: when somebody was called since it stayed; null where nobody was
-- acknowledged: when somebody first saw to it; null where nobody did
-- acknowledged_by: who
-- override_id: the override that it laid; null where it laid none
-- acted: what was done by itself, in words; null where nothing was
-- told: notices that a channel has taken
-- untold: notices that a channel has not
-- ended_by: why it ended; null while it lasts
WITH done AS (
        SELECT alert_id, step, ts, log_seq, severity, text, author, value, threshold, rule, scope,
               try_cast(detail AS JSON) ->> 'override_id' AS override_id,
               coalesce(try_cast(try_cast(detail AS JSON) ->> 'sent' AS BOOLEAN), false) AS sent
        FROM alert_events WHERE alert_id <> '')
SELECT alert_id, any_value(rule) AS rule, any_value(scope) AS scope,
       arg_max(severity, log_seq) FILTER (step IN ('fired', 'paged')) AS severity,
       min(ts) FILTER (step = 'fired') AS fired, min(ts) FILTER (step = 'resolved') AS resolved,
       epoch(min(ts) FILTER (step = 'resolved')) - epoch(min(ts) FILTER (step = 'fired'))
           AS lasted_s,
       any_value(value) FILTER (step = 'fired') AS value,
       any_value(threshold) FILTER (step = 'fired') AS threshold,
       any_value(text) FILTER (step = 'fired') AS text,
       min(ts) FILTER (step = 'paged') AS paged,
       min(ts) FILTER (step = 'acknowledged') AS acknowledged,
       arg_min(author, log_seq) FILTER (step = 'acknowledged') AS acknowledged_by,
       arg_min(override_id, log_seq) FILTER (step = 'acted' AND override_id IS NOT NULL)
           AS override_id,
       string_agg(text, '; ' ORDER BY log_seq) FILTER (step = 'acted') AS acted,
       count(*) FILTER (step = 'told' AND sent) AS told,
       count(*) FILTER (step = 'told' AND NOT sent) AS untold,
       any_value(text) FILTER (step = 'resolved') AS ended_by
FROM done GROUP BY alert_id HAVING count(*) FILTER (step = 'fired') > 0
