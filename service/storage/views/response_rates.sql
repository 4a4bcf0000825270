-- How many answers were rated, by day, deployment and task. Answers are those of the deployment that
-- was drawn or held by the session, with status 200: who got a fallback's, pinned or forced answer
-- was not left to the policy. Answers of a provider's batch are not counted.
--
-- day: of the decision, UTC
-- deployment: the one that answered
-- task: of the decision
-- answers: how many
-- rated: how many of them have a rating on a scale in force, by whatever metric
-- rate [0 to 1]: rated over answers
-- mean_rating [0 to 1]: of the rated ones
-- drawn: the answers that were drawn for themselves (randomised)
-- drawn_rated: how many of the drawn ones are rated
-- drawn_mean_rating [0 to 1]: of the drawn ones that are rated
SELECT d.ts::DATE AS day, o.deployment, d.task, count(*) AS answers,
       count(r.quality) AS rated, count(r.quality) / count(*) AS rate,
       avg(r.quality) AS mean_rating, count(*) FILTER (d.mode = 'randomised') AS drawn,
       count(r.quality) FILTER (d.mode = 'randomised') AS drawn_rated,
       avg(r.quality) FILTER (d.mode = 'randomised') AS drawn_mean_rating
FROM decisions d
JOIN outcomes o ON o.decision_id = d.id
LEFT JOIN (SELECT decision_id, avg(quality) AS quality FROM ratings
           WHERE quality IS NOT NULL GROUP BY decision_id) r ON r.decision_id = d.id
WHERE o.mode IN ('randomised', 'sticky') AND o.status = 200 AND o.deployment IS NOT NULL
GROUP BY ALL
