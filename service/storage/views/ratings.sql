-- The ratings in force: of each decision, metric, kind and author the latest.
--
-- log_seq: the order in which rows became durable, over all tables
-- id: of the rating
-- decision_id: of which decision
-- ts: when it was given
-- metric: one of the plan's
-- kind: user, judge, outcome or implicit
-- author: the id of the key that gave it
-- value: the number on its own scale; null for a label
-- label: the label; null for a number
-- quality [0 to 1]: the number's place between the ends of its scale; null for a label
-- deployment: the one that answered
-- revises: the row that this one replaces
-- idempotency_key: as given
-- reason: as given
-- tags: as given
SELECT * EXCLUDE (newest) FROM (
    SELECT *, row_number() OVER (
        PARTITION BY decision_id, metric, kind, author ORDER BY log_seq DESC) AS newest
    FROM feedback) WHERE newest = 1
