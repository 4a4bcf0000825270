-- How deployments did at the prompts of benchmarks, a row a run, deployment and task. Append-only:
-- a later row of the same three replaces the earlier.

CREATE TABLE benchmark_cells (
    log_seq BIGINT NOT NULL, run_id VARCHAR NOT NULL, ts TIMESTAMP NOT NULL,
    deployment VARCHAR NOT NULL, task VARCHAR NOT NULL, n BIGINT NOT NULL,
    quality_mean DOUBLE, quality_var DOUBLE, latency_mean_s DOUBLE, latency_var DOUBLE,
    cost_mean_micro_usd DOUBLE, cost_var DOUBLE, error_rate DOUBLE NOT NULL,
    version VARCHAR NOT NULL
);
