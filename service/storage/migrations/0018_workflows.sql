-- Workflows: runs that have ended, and the executions of their steps. No texts.

CREATE TABLE workflow_runs (
    log_seq BIGINT NOT NULL, id UUID NOT NULL, ts TIMESTAMP NOT NULL, began_at TIMESTAMP NOT NULL,
    key_id VARCHAR NOT NULL, tenant VARCHAR NOT NULL, workflow VARCHAR NOT NULL,
    version BIGINT NOT NULL, digest VARCHAR NOT NULL, mode VARCHAR NOT NULL,
    state VARCHAR NOT NULL, code VARCHAR NOT NULL, step VARCHAR NOT NULL, steps BIGINT NOT NULL,
    calls BIGINT NOT NULL, tokens_in BIGINT NOT NULL, tokens_out BIGINT NOT NULL,
    cost_micro_usd BIGINT NOT NULL, latency_s DOUBLE NOT NULL, resumed BIGINT NOT NULL
);

CREATE TABLE workflow_steps (
    log_seq BIGINT NOT NULL, run_id UUID NOT NULL, ts TIMESTAMP NOT NULL,
    workflow VARCHAR NOT NULL, path VARCHAR NOT NULL, step VARCHAR NOT NULL,
    kind VARCHAR NOT NULL, state VARCHAR NOT NULL, code VARCHAR NOT NULL,
    deployment VARCHAR NOT NULL, decisions VARCHAR[] NOT NULL, calls BIGINT NOT NULL,
    tokens_in BIGINT NOT NULL, tokens_out BIGINT NOT NULL, cost_micro_usd BIGINT NOT NULL,
    began_s DOUBLE NOT NULL, latency_s DOUBLE NOT NULL
);
