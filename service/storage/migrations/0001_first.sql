-- The first schema. Times are UTC, money integer micro-dollars, durations seconds.
-- Rows are only added: a correction is a new row. log_seq numbers every row of every table in
-- the order in which it was made durable. No primary keys or indexes on purpose.

CREATE TABLE decisions (
    log_seq BIGINT NOT NULL, id UUID NOT NULL, ts TIMESTAMP NOT NULL,
    key_id VARCHAR NOT NULL, tenant VARCHAR NOT NULL, tier VARCHAR NOT NULL,
    feature VARCHAR NOT NULL, tags VARCHAR[] NOT NULL, unit VARCHAR NOT NULL,
    session VARCHAR NOT NULL, task VARCHAR NOT NULL, task_confidence DOUBLE NOT NULL,
    task_source VARCHAR NOT NULL, prompt_hash VARCHAR NOT NULL, features FLOAT[] NOT NULL,
    tokens_in BIGINT NOT NULL, tokens_out_limit BIGINT NOT NULL, cost_dial DOUBLE NOT NULL,
    stream BOOLEAN NOT NULL, eligible VARCHAR[] NOT NULL, propensities DOUBLE[] NOT NULL,
    quality DOUBLE[] NOT NULL, cost_usd DOUBLE[] NOT NULL, latency_s DOUBLE[] NOT NULL,
    error_rate DOUBLE[] NOT NULL, utility DOUBLE[] NOT NULL,
    disqualified VARCHAR[] NOT NULL, disqualified_by VARCHAR[] NOT NULL,
    draw DOUBLE NOT NULL, deployment VARCHAR NOT NULL, propensity DOUBLE NOT NULL,
    mode VARCHAR NOT NULL, reason VARCHAR NOT NULL, policy VARCHAR NOT NULL,
    version_id VARCHAR NOT NULL, checkpoint_id VARCHAR NOT NULL, update_seq BIGINT NOT NULL,
    override_id VARCHAR, session_decision_id UUID, experiment VARCHAR, variant VARCHAR,
    variant_probability DOUBLE
);

CREATE TABLE attempts (
    log_seq BIGINT NOT NULL, decision_id UUID NOT NULL, number INTEGER NOT NULL,
    ts TIMESTAMP NOT NULL, deployment VARCHAR NOT NULL, provider VARCHAR NOT NULL,
    role VARCHAR NOT NULL, status INTEGER NOT NULL, error_kind VARCHAR, ttft_s DOUBLE,
    latency_s DOUBLE NOT NULL, tokens_in BIGINT NOT NULL, tokens_out BIGINT NOT NULL,
    cached_tokens BIGINT NOT NULL, cost_micro_usd BIGINT NOT NULL, estimated BOOLEAN NOT NULL
);

CREATE TABLE outcomes (
    log_seq BIGINT NOT NULL, decision_id UUID NOT NULL, ts TIMESTAMP NOT NULL,
    deployment VARCHAR, mode VARCHAR NOT NULL, status INTEGER NOT NULL, error_kind VARCHAR,
    latency_s DOUBLE NOT NULL, ttft_s DOUBLE, overhead_s DOUBLE NOT NULL,
    attempts INTEGER NOT NULL, tokens_in BIGINT NOT NULL, tokens_out BIGINT NOT NULL,
    cached_tokens BIGINT NOT NULL, cost_micro_usd BIGINT NOT NULL, estimated BOOLEAN NOT NULL
);

CREATE TABLE feedback (
    log_seq BIGINT NOT NULL, id UUID NOT NULL, decision_id UUID NOT NULL, ts TIMESTAMP NOT NULL,
    metric VARCHAR NOT NULL, kind VARCHAR NOT NULL, author VARCHAR NOT NULL, value DOUBLE,
    label VARCHAR, quality DOUBLE, deployment VARCHAR, revises UUID, idempotency_key VARCHAR,
    reason VARCHAR NOT NULL, tags VARCHAR[] NOT NULL
);

CREATE TABLE updates (
    log_seq BIGINT NOT NULL, seq BIGINT NOT NULL, ts TIMESTAMP NOT NULL, decision_id UUID,
    decided_at TIMESTAMP NOT NULL, arm VARCHAR NOT NULL, kind VARCHAR NOT NULL, quality DOUBLE,
    revises_quality DOUBLE, cost_usd DOUBLE, latency_s DOUBLE, tokens_out BIGINT, failed BOOLEAN,
    feedback_id UUID, version_id VARCHAR NOT NULL
);

CREATE TABLE weights (
    log_seq BIGINT NOT NULL, ts TIMESTAMP NOT NULL, task VARCHAR NOT NULL,
    deployment VARCHAR NOT NULL, share DOUBLE NOT NULL, quality DOUBLE NOT NULL,
    cost_usd DOUBLE NOT NULL, latency_s DOUBLE NOT NULL, error_rate DOUBLE NOT NULL,
    utility DOUBLE NOT NULL, contexts INTEGER NOT NULL, update_seq BIGINT NOT NULL,
    why VARCHAR NOT NULL
);

CREATE TABLE versions (
    log_seq BIGINT NOT NULL, id VARCHAR NOT NULL, ts TIMESTAMP NOT NULL, policy VARCHAR NOT NULL,
    kind VARCHAR NOT NULL, parameters VARCHAR NOT NULL, parent VARCHAR, author VARCHAR NOT NULL,
    reason VARCHAR NOT NULL
);

CREATE TABLE checkpoints (
    log_seq BIGINT NOT NULL, id VARCHAR NOT NULL, ts TIMESTAMP NOT NULL,
    version_id VARCHAR NOT NULL, update_seq BIGINT NOT NULL, sha256 VARCHAR NOT NULL,
    size_bytes BIGINT NOT NULL
);

CREATE TABLE overrides (
    log_seq BIGINT NOT NULL, id VARCHAR NOT NULL, ts TIMESTAMP NOT NULL, action VARCHAR NOT NULL,
    deployment VARCHAR NOT NULL, task VARCHAR NOT NULL, reason VARCHAR NOT NULL,
    author VARCHAR NOT NULL, starts_at TIMESTAMP NOT NULL, expires_at TIMESTAMP NOT NULL
);

CREATE TABLE override_ends (
    log_seq BIGINT NOT NULL, override_id VARCHAR NOT NULL, ts TIMESTAMP NOT NULL,
    how VARCHAR NOT NULL, author VARCHAR NOT NULL, reason VARCHAR NOT NULL
);

CREATE TABLE acts (
    log_seq BIGINT NOT NULL, id VARCHAR NOT NULL, ts TIMESTAMP NOT NULL, actor VARCHAR NOT NULL,
    act VARCHAR NOT NULL, subject VARCHAR NOT NULL, reason VARCHAR NOT NULL,
    detail VARCHAR NOT NULL
);

CREATE TABLE keys (
    log_seq BIGINT NOT NULL, id VARCHAR NOT NULL, ts TIMESTAMP NOT NULL, name VARCHAR NOT NULL,
    role VARCHAR NOT NULL, tenant VARCHAR NOT NULL, tier VARCHAR NOT NULL,
    digest VARCHAR NOT NULL, revoked BOOLEAN NOT NULL
);
