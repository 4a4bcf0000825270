"""The queries that reviews rest on: texts that run as they stand on the published history.

Sums are of whole numbers (millionths), so they are the same in whatever order they are added.
"""

from __future__ import annotations

_PERIOD = "ts >= '<<since>>' AND ts < '<<until>>'"
# What was given again from the cache says nothing of who answers, or how; nor does what came in a
# provider's batch, which nobody waited for, at another price.
_ROUNDS = f"rounds WHERE decided <> 'cache' AND coalesce(served_mode, '') <> 'batch' AND {_PERIOD}"

SPAN = "SELECT min(ts)::DATE AS first, max(ts)::DATE AS last, max(ts) AS newest FROM decisions"

RATES = f"""
SELECT (v.parameters -> 'scale' ->> 'worth_usd')::DOUBLE AS worth_usd,
       (v.parameters -> 'scale' ->> 'patience_s')::DOUBLE AS patience_s
FROM (SELECT version_id, count(*) AS used FROM {_ROUNDS} GROUP BY ALL) r
JOIN versions v ON v.id = r.version_id ORDER BY r.used DESC, v.id LIMIT 1"""

ROUNDS = f"""
SELECT id, ts, task, tenant, decided, drawn, override_id, version_id, served, served_mode, status,
       latency_s, attempts, cost_micro_usd, cost_usd, quality
FROM main.{_ROUNDS}"""

DAYS = f"""
SELECT date_diff('day', DATE '1970-01-05', ts::DATE) AS day, task, drawn AS deployment, tenant,
       count(*) AS requests, coalesce(sum(cost_micro_usd), 0) / 1e6 AS cost_usd,
       coalesce(sum(round(quality * 1e6)::BIGINT), 0) / 1e6 AS quality, count(quality) AS rated,
       count(*) FILTER (status >= 500) AS failed,
       count(*) FILTER (served_mode = 'fallback') AS fallbacks,
       coalesce(sum(round(latency_s * 1e6)::BIGINT), 0) / 1e6 AS latency_s
FROM {_ROUNDS} GROUP BY ALL ORDER BY ALL"""

LATENCIES = f"""
SELECT task, isodow(ts) - 1 AS day, hour(ts) AS hour,
       floor(20 * ln(greatest(latency_s, 0.001)))::INTEGER AS bin, count(*) AS requests
FROM {_ROUNDS} AND status = 200 GROUP BY ALL ORDER BY ALL"""

SERVED = f"""
SELECT task, drawn AS deployment, count(*) AS requests, count(*) FILTER (fell) AS fallbacks,
       count(*) FILTER (fell) AS fell_n, count(*) FILTER (own) AS own_n,
       coalesce(sum(cost) FILTER (fell), 0) / 1e6 AS fell_cost_usd,
       coalesce(sum(cost * cost) FILTER (fell), 0) / 1e12 AS fell_cost_usd_2,
       coalesce(sum(ms) FILTER (fell), 0) / 1e3 AS fell_latency_s,
       coalesce(sum(ms * ms) FILTER (fell), 0) / 1e6 AS fell_latency_s_2,
       coalesce(sum(cost) FILTER (own), 0) / 1e6 AS own_cost_usd,
       coalesce(sum(cost * cost) FILTER (own), 0) / 1e12 AS own_cost_usd_2,
       coalesce(sum(ms) FILTER (own), 0) / 1e3 AS own_latency_s,
       coalesce(sum(ms * ms) FILTER (own), 0) / 1e6 AS own_latency_s_2
FROM (SELECT task, drawn, served_mode = 'fallback' AS fell, cost_micro_usd::HUGEINT AS cost,
             status = 200 AND served_mode <> 'fallback' AS own,
             round(latency_s * 1e3)::HUGEINT AS ms
      FROM {_ROUNDS} AND status IS NOT NULL) GROUP BY ALL ORDER BY ALL"""

REPEATS = """
SELECT task, count(*) AS requests, count(*) FILTER (again) AS repeats,
       coalesce(sum(cost_micro_usd) FILTER (again), 0) / 1e6 AS cost_usd
FROM (SELECT d.ts, d.task, o.cost_micro_usd, d.prompt_hash <> '' AND d.ts <= INTERVAL 24 HOURS
             + lag(d.ts) OVER (PARTITION BY d.tenant, d.prompt_hash ORDER BY d.ts, d.id) AS again
      FROM decisions d JOIN outcomes o ON o.decision_id = d.id
      WHERE d.ts >= TIMESTAMP '<<since>>' - INTERVAL 1 DAY AND d.ts < '<<until>>'
        AND o.ts >= TIMESTAMP '<<since>>' - INTERVAL 1 DAY AND o.status = 200
        AND o.mode <> 'batch')
WHERE ts >= '<<since>>' GROUP BY ALL ORDER BY ALL"""

PRICES = f"""
SELECT task, deployment, count(*) AS requests, sum(told) / 1e6 AS foretold_usd,
       sum(paid) / 1e6 AS cost_usd, sum((paid - told) * (paid - told)) / 1e12 AS squares
FROM (SELECT d.task, d.deployment, r.cost_micro_usd::HUGEINT AS paid, round(1e6 * list_extract(
                 d.cost_usd, list_position(d.eligible, d.deployment)))::HUGEINT AS told
      FROM (SELECT * FROM decisions WHERE {_PERIOD} AND len(cost_usd) > 0) d
      JOIN rounds r ON r.id = d.id
      WHERE r.attempts = 1 AND r.status = 200 AND r.served = r.drawn
        AND r.served_mode <> 'batch')
WHERE told > 0 GROUP BY ALL ORDER BY ALL"""

JUDGED = f"""
SELECT judge, count(*) AS judgements, count(*) FILTER (NOT consistent) AS inconsistent,
       count(*) FILTER (preference IS NULL) AS unread, sum(cost_micro_usd) / 1e6 AS cost_usd
FROM judgements WHERE {_PERIOD} GROUP BY ALL ORDER BY ALL"""

JUDGE_PAIRS = f"""
SELECT author, metric, count(*) AS pairs, sum(gap) / 1e6 AS difference,
       sum(gap::HUGEINT * gap) / 1e12 AS squares,
       count(*) FILTER (judged >= 0.5 AND told >= 0.5) AS both_good,
       count(*) FILTER (judged < 0.5 AND told < 0.5) AS both_bad,
       count(*) FILTER (judged >= 0.5) AS judge_good, count(*) FILTER (told >= 0.5) AS people_good
FROM (SELECT j.author, j.metric, j.quality AS judged, p.quality AS told,
             round(1e6 * (j.quality - p.quality))::BIGINT AS gap
      FROM (SELECT * FROM ratings WHERE kind = 'judge' AND quality IS NOT NULL AND {_PERIOD}) j
      JOIN (SELECT decision_id, avg(quality) AS quality FROM ratings
            WHERE kind = 'user' AND quality IS NOT NULL GROUP BY decision_id) p
           ON p.decision_id = j.decision_id)
GROUP BY ALL ORDER BY ALL"""

RESPONSES = f"""
SELECT ts::DATE::VARCHAR AS day, served AS deployment, task, count(*) AS answers,
       count(quality) AS rated
FROM {_ROUNDS} AND decided = 'randomised' AND served_mode = 'randomised'
  AND status = 200 AND served IS NOT NULL GROUP BY ALL ORDER BY ALL"""

OVERRIDES = """
SELECT o.id, o.action, o.deployment, o.task, o.author, o.reason,
       strftime(o.starts_at, '%Y-%m-%d %H:%M') AS since,
       strftime(least(o.expires_at, coalesce(e.ts, o.expires_at)), '%Y-%m-%d %H:%M') AS until
FROM overrides o LEFT JOIN override_ends e ON e.override_id = o.id
WHERE o.starts_at < '<<until>>' AND coalesce(e.ts, o.expires_at) >= '<<since>>'
ORDER BY o.starts_at, o.id"""

UNDER = f"""
SELECT override_id, task, count(*) AS requests, sum(cost_micro_usd) / 1e6 AS cost_usd,
       sum(cost_micro_usd::HUGEINT * cost_micro_usd) / 1e12 AS squares
FROM {_ROUNDS} AND override_id IS NOT NULL AND cost_micro_usd IS NOT NULL
GROUP BY ALL ORDER BY ALL"""

BESIDE = f"""
SELECT task, count(*) AS requests, sum(cost_micro_usd) / 1e6 AS cost_usd,
       sum(cost_micro_usd::HUGEINT * cost_micro_usd) / 1e12 AS squares
FROM {_ROUNDS} AND override_id IS NULL AND decided = 'randomised'
  AND cost_micro_usd IS NOT NULL GROUP BY ALL ORDER BY ALL"""

STEPS = f"""
SELECT experiment, strftime(ts, '%Y-%m-%d %H:%M') AS at, step, after, percent, author, reason
FROM experiment_steps WHERE {_PERIOD} ORDER BY ts, log_seq"""

EXPOSED = f"""
SELECT experiment, variant, count(*) AS requests
FROM (SELECT unnest(experiments) AS experiment, unnest(variants) AS variant
      FROM decisions WHERE {_PERIOD} AND experiments IS NOT NULL)
GROUP BY ALL ORDER BY ALL"""

PROMOTIONS = f"""
SELECT strftime(ts, '%Y-%m-%d %H:%M') AS at, version_id, from_version_id, how, author, reason
FROM promotions WHERE {_PERIOD} ORDER BY ts, log_seq"""

NAMES = f"""
SELECT DISTINCT name FROM (SELECT unnest(eligible) AS name FROM decisions
    WHERE {_PERIOD} AND mode = 'randomised') ORDER BY name"""

QUALITIES = f"""
SELECT task, served AS deployment, count(quality) AS rated,
       sum(round(quality * 1e6)::HUGEINT) / 1e6 AS quality,
       sum(round(quality * 1e6)::HUGEINT * round(quality * 1e6)::HUGEINT) / 1e12 AS squares
FROM {_ROUNDS} AND decided = 'randomised' AND quality IS NOT NULL
  AND served IS NOT NULL AND served_mode <> 'ensemble' GROUP BY ALL ORDER BY ALL"""

WEIGHTS = f"""
SELECT task, deployment, date_diff('hour', TIMESTAMP '<<since>>', ts) // 3 AS step,
       sum(round(share * 1e6)::BIGINT) / 1e6 / count(*) AS share
FROM weights WHERE {_PERIOD} GROUP BY ALL ORDER BY ALL"""

SHARES = f"""
SELECT task, drawn AS deployment, date_diff('hour', TIMESTAMP '<<since>>', ts) // 3 AS step,
       count(*) AS requests
FROM {_ROUNDS} GROUP BY ALL ORDER BY ALL"""


def drawn(names: list[str]) -> str:
    """The drawn decisions of the period, with each deployment's columns by its number."""
    wide = "".join(
        f""",
       coalesce(list_extract(propensities, list_position(eligible, {text(name)})), 0) AS e{at},
       list_extract(cost_usd, list_position(eligible, {text(name)}))::FLOAT AS c{at},
       list_extract(quality, list_position(eligible, {text(name)}))::FLOAT AS q{at},
       list_extract(latency_s, list_position(eligible, {text(name)}))::FLOAT AS l{at}"""
        for at, name in enumerate(names)
    )
    listed = ", ".join(text(name) for name in names)
    return f"""
SELECT d.* EXCLUDE (id), r.cost_micro_usd / 1e6 AS cost_usd, r.latency_s,
       round(r.quality * 1e6) / 1e6 AS quality
FROM (SELECT id, log_seq, task, tenant,
             list_position([{listed}], deployment) - 1 AS arm{wide}
      FROM decisions WHERE {_PERIOD} AND mode = 'randomised') d
JOIN rounds r ON r.id = d.id WHERE r.status IS NOT NULL"""


def text(value: str) -> str:
    """A text as SQL writes it."""
    return "'" + value.replace("'", "''") + "'"


def within(sql: str, since: str, until: str) -> str:
    """A query with its period put in."""
    return sql.replace("<<since>>", since).replace("<<until>>", until).strip()


FLOW = f"""
SELECT count(*) AS requests, count(DISTINCT CASE WHEN session = '' THEN id::VARCHAR ELSE session
       END) AS units, count(DISTINCT ts::DATE) AS days
FROM decisions WHERE {_PERIOD}"""

RATED = f"SELECT count(quality) / greatest(count(*), 1) AS share FROM {_ROUNDS}"

HELD = """
SELECT e.id, e.layer, e.first, e.stop, e.design, coalesce(s.after, 'draft') AS state
FROM experiments e
LEFT JOIN (SELECT experiment, arg_max(after, log_seq) AS after FROM experiment_steps
           GROUP BY experiment) s ON s.experiment = e.id
WHERE s.after IS NULL OR s.after NOT IN ('shipped', 'rolled back') ORDER BY e.log_seq"""

PASSED = """
SELECT v.id, v.kind, e.report
FROM (SELECT version_id, arg_max(passed, log_seq) AS passed, arg_max(report, log_seq) AS report
      FROM evaluations GROUP BY version_id) e
JOIN versions v ON v.id = e.version_id
WHERE e.passed AND v.id <> coalesce((SELECT arg_max(version_id, log_seq) FROM promotions), '')
ORDER BY v.id"""

MONTHLY_PRICES = f"""
SELECT deployment, strftime(ts, '%Y-%m') AS month, count(*) AS calls,
       count(DISTINCT ts::DATE) AS days, sum(tokens_in) AS tokens_in, sum(tokens_out) AS tokens_out,
       sum(i * i) AS ii, sum(i * o) AS io, sum(o * o) AS oo, sum(i * c) AS ic, sum(o * c) AS oc
FROM (SELECT deployment, ts, tokens_in, tokens_out, tokens_in::HUGEINT AS i,
             tokens_out::HUGEINT AS o, cost_micro_usd::HUGEINT AS c
      FROM attempts WHERE {_PERIOD} AND role <> 'batch' AND status = 200 AND cached_tokens = 0)
GROUP BY ALL ORDER BY deployment, month"""
