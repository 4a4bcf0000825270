-- What live answers showed of each deployment at each task, a row a day: the capability matrix is
-- made of these, forgotten by age. Numbers and sums add, so days are joined by adding them. What was
-- learned is counted (no pins, no forced answers, no judges' calls); benchmarks are in
-- benchmark_cells.
--
-- day: of the decision, UTC
-- deployment: which answered, or was called
-- task: of the decision
-- rated: the answers whose quality was learned
-- quality [0 to 1]: their mean, each by what its ratings count
-- quality_weight: what they count together; rated where ratings are not weighed
-- quality_sum: the sum of their qualities, each by what its ratings count
-- quality_squares: the sum of the squares, likewise
-- timed: the calls whose latency was learned
-- latency_s [seconds]: its mean
-- latency_sum_s [seconds]: its sum
-- latency_squares: the sum of the squares
-- calls: those of which is known whether they failed
-- failed: those that failed
-- error_rate [0 to 1]: failed over calls
-- paid: the answered calls
-- cost_micro_usd [micro-dollars]: the mean of one
-- cost_sum_micro_usd [micro-dollars]: their sum
-- cost_squares: the sum of the squares
WITH learned AS (
    SELECT d.ts::DATE AS day, u.arm AS deployment, d.task,
           count(*) FILTER (u.kind = 'rating') AS rated,
           coalesce(sum(CASE WHEN u.quality IS NULL THEN 0 ELSE coalesce(u.weight, 1) END
                        - CASE WHEN u.revises_quality IS NULL THEN 0
                               ELSE coalesce(u.revises_weight, 1) END), 0) AS quality_weight,
           coalesce(sum(coalesce(u.weight, 1) * u.quality
                        - coalesce(u.revises_weight, 1) * coalesce(u.revises_quality, 0)), 0)
               AS quality_sum,
           coalesce(sum(coalesce(u.weight, 1) * u.quality * u.quality
                        - coalesce(u.revises_weight, 1)
                          * coalesce(u.revises_quality * u.revises_quality, 0)), 0)
               AS quality_squares,
           count(u.latency_s) AS timed, coalesce(sum(u.latency_s), 0) AS latency_sum_s,
           coalesce(sum(u.latency_s * u.latency_s), 0) AS latency_squares,
           count(u.failed) AS calls, count(*) FILTER (u.failed) AS failed
    FROM updates u JOIN decisions d ON d.id = u.decision_id
    WHERE u.kind IN ('outcome', 'rating', 'revision') GROUP BY ALL),
paid AS (
    SELECT d.ts::DATE AS day, a.deployment, d.task, count(*) AS paid,
           sum(a.cost_micro_usd)::DOUBLE AS cost_sum_micro_usd,
           sum(a.cost_micro_usd::DOUBLE * a.cost_micro_usd) AS cost_squares
    FROM attempts a JOIN decisions d ON d.id = a.decision_id
    WHERE a.error_kind IS NULL AND a.role NOT IN ('judge', 'batch') GROUP BY ALL)
SELECT day, deployment, task,
       coalesce(rated, 0) AS rated, quality_sum / nullif(quality_weight, 0) AS quality,
       coalesce(quality_weight, 0) AS quality_weight,
       coalesce(quality_sum, 0) AS quality_sum, coalesce(quality_squares, 0) AS quality_squares,
       coalesce(timed, 0) AS timed, latency_sum_s / nullif(timed, 0) AS latency_s,
       coalesce(latency_sum_s, 0) AS latency_sum_s, coalesce(latency_squares, 0) AS latency_squares,
       coalesce(calls, 0) AS calls, coalesce(failed, 0) AS failed,
       failed / nullif(calls, 0) AS error_rate, coalesce(paid, 0) AS paid,
       cost_sum_micro_usd / nullif(paid, 0) AS cost_micro_usd,
       coalesce(cost_sum_micro_usd, 0) AS cost_sum_micro_usd,
       coalesce(cost_squares, 0) AS cost_squares
FROM learned FULL JOIN paid USING (day, deployment, task)
