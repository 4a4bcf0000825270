-- What people said of the task of requests: of each decision the label, beside what it was taken for.
--
-- decision_id: of which decision
-- ts: when it was labelled
-- asked_at: when the request was
-- guess: the task that the request was served as
-- label: the task that it is, by the person
-- right: whether the two are the same
-- confidence [0 to 1]: of the guess
-- why: why a person was asked: not sure, or audit (drawn from those that were sure enough)
-- probability [0 to 1]: with which it was drawn to be labelled, among its like
-- weight: how many requests the label stands for: one over the probability
-- tenant: of the key that asked; empty: none
-- reviewer: who labelled it
-- item_id: of the review
SELECT i.decision_id, t.ts, i.ts AS asked_at, i.task AS guess, t.verdict AS label,
       t.verdict = i.task AS "right", i.confidence, i.why, i.probability,
       1.0 / i.probability AS weight, i.tenant, t.reviewer, i.id AS item_id
FROM review_items i
JOIN review_turns t ON t.item_id = i.id AND t.turn = 'decided'
WHERE i.kind = 'classification' AND t.verdict <> 'dismiss'
