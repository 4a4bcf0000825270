"""A long published history made by SQL alone: plain and large; for timing, not for analysis."""

from __future__ import annotations

import time
from pathlib import Path

import duckdb

from service.storage.database import migrations
from service.storage.history import ROW_GROUP
from service.storage.manifest import FOLDER, MANIFEST, Manifest

DAYS = 60
DAY_S = 86_400
ARMS = "['small', 'middle', 'large', 'other']"

# Of row i of a day: pseudo-random numbers by hashing; ids sort by time.
_BASE = """
    SELECT i, {first} + i AS n, TIMESTAMP '{day}' + to_microseconds((i * {step_us})::BIGINT) AS ts,
           (substr(h, 1, 8) || '-' || substr(h, 9, 4) || '-7' || substr(k, 1, 3) || '-8'
            || substr(k, 4, 3) || '-' || substr(k, 7, 12))::UUID AS id,
           hash(n) AS a, hash(n + 1) AS b, hash(n + 2) AS c, 1 + (hash(n + 3) % 4)::INT AS arm
    FROM (SELECT i, lpad(to_hex(epoch_ms(TIMESTAMP '{day}') + i * {step_us} // 1000), 12, '0') AS h,
                 lpad(to_hex(hash({first} + i)), 16, '0') || lpad(to_hex(i % 256), 2, '0') AS k
          FROM range({rows}) r(i))"""
_ROWS = {
    "decisions": """
        SELECT 4 * n AS log_seq, id, ts, 'key' AS key_id, 'tenant' || a % 5 AS tenant,
            'basic' AS tier, 'feature' || b % 8 AS feature,
            CASE WHEN a % 3 = 0 THEN ['batch', 'de'] ELSE ['web'] END AS tags,
            'u' || n // 5 AS unit, 's' || n // 5 AS session, 'task' || a % 6 AS task,
            1.0::DOUBLE AS task_confidence, 'rule' AS task_source, hex(b) AS prompt_hash,
            list_transform(range(24), lambda x: ((hash(n + x) % 1000) / 1000)::FLOAT) AS features,
            (b % 2000)::BIGINT AS tokens_in, 0::BIGINT AS tokens_out_limit,
            1.0::DOUBLE AS cost_dial,
            false AS stream, {arms} AS eligible, [0.1, 0.2, 0.3, 0.4]::DOUBLE[] AS propensities,
            [0.5, 0.6, 0.7, 0.8]::DOUBLE[] AS quality,
            [1e-5, 2e-5, 1e-4, (a % 100) / 1e6]::DOUBLE[] AS cost_usd,
            [0.5, 0.6, 0.7, 0.8]::DOUBLE[] AS latency_s,
            [0.0, 0.0, 0.01, 0.01]::DOUBLE[] AS error_rate,
            [0.4, 0.5, 0.6, 0.7]::DOUBLE[] AS utility,
            CASE WHEN i % 20 = 0 THEN ['other'] ELSE []::VARCHAR[] END AS disqualified,
            CASE WHEN i % 20 = 0 THEN ['ejected'] ELSE []::VARCHAR[] END AS disqualified_by,
            (c % 1000) / 1000.0::DOUBLE AS draw, {arms}[arm] AS deployment,
            0.1::DOUBLE * arm AS propensity,
            CASE WHEN n % 5 = 0 THEN 'randomised' ELSE 'sticky' END AS mode, 'policy' AS reason,
            'default' AS policy, 'v1' AS version_id, 'c1' AS checkpoint_id, n AS update_seq,
            CASE WHEN i < 500 THEN 'o1' END AS override_id, NULL::UUID AS session_decision_id,
            NULL::VARCHAR AS experiment, NULL::VARCHAR AS variant,
            NULL::DOUBLE AS variant_probability,
            CASE WHEN a % 4 = 0 THEN ['e@1'] END AS experiments,
            CASE WHEN a % 4 = 0 THEN [CASE WHEN a % 8 = 0 THEN 'a' ELSE 'b' END] END AS variants,
            CASE WHEN a % 4 = 0 THEN [0.5]::DOUBLE[] END AS variant_probabilities,
            CASE WHEN a % 4 = 0 THEN ['u' || n // 5] END AS units
        FROM base""",
    "attempts": """
        SELECT 4 * n + 1 AS log_seq, id AS decision_id, number::INTEGER AS number,
            ts + INTERVAL 1 SECOND AS ts, {arms}[1 + (arm + number) % 4] AS deployment,
            'provider' AS provider, CASE WHEN number = 1 THEN 'first' ELSE 'fallback' END AS role,
            (CASE WHEN number = 1 AND i % 25 = 0 THEN 503 ELSE 200 END)::INTEGER AS status,
            CASE WHEN number = 1 AND i % 25 = 0 THEN 'server' END AS error_kind,
            NULL::DOUBLE AS ttft_s, (c % 3000) / 1000.0::DOUBLE AS latency_s,
            (b % 2000)::BIGINT AS tokens_in, (c % 900)::BIGINT AS tokens_out,
            0::BIGINT AS cached_tokens, (a % 5000)::BIGINT AS cost_micro_usd, false AS estimated
        FROM (SELECT *, unnest(CASE WHEN i % 25 = 0 THEN [1, 2] ELSE [1] END) AS number
              FROM base)""",
    "outcomes": """
        SELECT 4 * n + 2 AS log_seq, id AS decision_id, ts + INTERVAL 1 SECOND AS ts,
            {arms}[arm] AS deployment,
            CASE WHEN i % 25 = 0 THEN 'fallback' WHEN n % 5 = 0 THEN 'randomised'
                 ELSE 'sticky' END AS mode,
            200::INTEGER AS status, NULL::VARCHAR AS error_kind,
            (c % 3000) / 1000.0::DOUBLE AS latency_s, NULL::DOUBLE AS ttft_s,
            0.001::DOUBLE AS overhead_s, 1::INTEGER AS attempts, (b % 2000)::BIGINT AS tokens_in,
            (c % 900)::BIGINT AS tokens_out, 0::BIGINT AS cached_tokens,
            (a % 5000)::BIGINT AS cost_micro_usd, false AS estimated
        FROM base""",
    "feedback": """
        SELECT 4 * n + 3 AS log_seq, id, id AS decision_id, ts + INTERVAL 60 SECOND AS ts,
            'rating' AS metric, 'user' AS kind, 'key' AS author, (b % 2)::DOUBLE AS value,
            NULL::VARCHAR AS label, (b % 2)::DOUBLE AS quality, {arms}[arm] AS deployment,
            NULL::UUID AS revises, NULL::VARCHAR AS idempotency_key, '' AS reason,
            []::VARCHAR[] AS tags
        FROM base WHERE a % 8 = 0""",
    "weights": """
        SELECT 4 * n + 3 AS log_seq, ts, 'task' || i // 100 % 6 AS task, {arms}[arm] AS deployment,
            (a % 100) / 100.0::DOUBLE AS share, 0.5::DOUBLE AS quality, 1e-4::DOUBLE AS cost_usd,
            1.0::DOUBLE AS latency_s, 0.01::DOUBLE AS error_rate, 0.4::DOUBLE AS utility,
            32::INTEGER AS contexts, n AS update_seq, 'others moved' AS why,
            CASE WHEN b % 500 = 0 THEN 'held back' ELSE 'steady' END AS state
        FROM base WHERE i % 10 = 0""",
}
_ONCE = {
    "versions": """SELECT 1::BIGINT AS log_seq, 'v1' AS id, TIMESTAMP '{day}' AS ts,
        'default' AS policy, 'linear' AS kind,
        '{{"scale": {{"worth_usd": 0.1, "patience_s": 30.0}}}}' AS parameters,
        NULL::VARCHAR AS parent, 'plan' AS author, '' AS reason""",
    "acts": """SELECT (2 + 2 * i + o)::BIGINT AS log_seq, 'act' || i || o AS id,
        TIMESTAMP '{day}' + to_hours((i * 24 + 1 + o)::INT) AS ts, 'headgate' AS actor,
        CASE o WHEN 0 THEN 'breaker.open' ELSE 'breaker.closed' END AS act, 'other' AS subject,
        'server' AS reason, '{{}}' AS detail FROM range(60) r(i), range(2) s(o)""",
    "overrides": """SELECT 200::BIGINT AS log_seq, 'o1' AS id, TIMESTAMP '{day}' AS ts,
        'force' AS action, 'small' AS deployment, '' AS task, 'why' AS reason, 'me' AS author,
        TIMESTAMP '{day}' AS starts_at, TIMESTAMP '{day}' + INTERVAL 1 DAY AS expires_at""",
}


def make_history(state: Path, decisions: int, days: int = DAYS) -> None:
    """A published history of so many decisions, ending at the last UTC midnight."""
    root = state / FOLDER
    per_day, end_s = decisions // days, int(time.time()) // DAY_S * DAY_S
    connection = duckdb.connect(":memory:", config={"memory_limit": "1500MB"})
    files: dict[str, tuple[str, ...]] = {}
    for number in range(days):
        day = time.strftime("%Y-%m-%d", time.gmtime(end_s - (days - number) * DAY_S))
        numbers = {"first": 1_000 + number * per_day, "day": day, "rows": per_day,
                   "step_us": DAY_S * 1_000_000 // per_day}  # fmt: skip
        connection.execute(f"CREATE OR REPLACE TEMP TABLE base AS {_BASE.format(**numbers)}")
        made = _ROWS | (_ONCE if number == 0 else {})
        for name, sql in made.items():
            path = f"{name}/day={day}/rows-{number + 1:012d}-{number + 1:012d}.parquet"
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            connection.execute(
                f"COPY ({sql.format(arms=ARMS, day=day)}) TO '{root / path}' "
                f"(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {ROW_GROUP})"
            )
            files[name] = (*files.get(name, ()), path)
    schemas = {path: max(migrations()) for paths in files.values() for path in paths}
    manifest = Manifest(10 * decisions, float(end_s), files, schemas=schemas)
    (root / MANIFEST).write_text(manifest.text())
