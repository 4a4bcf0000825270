-- When each version was live. A version that was live several times has several rows.
--
-- version_id: which
-- policy: the policy's name
-- kind: of the policy
-- live_from: since when
-- live_until: to when: the next promotion; null for the one that is live
-- lasted_s [seconds]: between the two; null for the one that is live
-- how: plan, promoted, shipped or rolled back; before promotions were kept always plan
-- author: who made it live
-- reason: why
-- from_version_id: the one before; null where there was none, or it is not known
-- parent: the version that this one was made from
WITH starts AS (
        SELECT log_seq, ts, version_id, how, author, reason, from_version_id FROM promotions
        UNION ALL  -- before promotions were kept every version that was logged was the live one
        SELECT log_seq, ts, id, 'plan', author, reason, NULL FROM versions v
        WHERE v.author = 'plan'
              AND v.log_seq < (SELECT coalesce(min(log_seq), 9223372036854775807) FROM promotions)
              AND v.id NOT IN (SELECT version_id FROM promotions))
SELECT s.version_id, v.policy, v.kind, s.ts AS live_from,
       lead(s.ts) OVER (ORDER BY s.log_seq) AS live_until,
       epoch(lead(s.ts) OVER (ORDER BY s.log_seq)) - epoch(s.ts) AS lasted_s,
       s.how, s.author, s.reason, s.from_version_id, v.parent
FROM starts s LEFT JOIN versions v ON v.id = s.version_id
