-- Climbing from cheap deployments to strong ones: where requests began, and the verdict of each call.

CREATE TABLE climb_starts (
    log_seq BIGINT NOT NULL, decision_id UUID NOT NULL, ts TIMESTAMP NOT NULL,
    task VARCHAR NOT NULL, began VARCHAR NOT NULL, probability DOUBLE NOT NULL,
    rungs VARCHAR[] NOT NULL, level INTEGER NOT NULL
);

CREATE TABLE rung_verdicts (
    log_seq BIGINT NOT NULL, decision_id UUID NOT NULL, ts TIMESTAMP NOT NULL,
    number INTEGER NOT NULL, rung INTEGER NOT NULL, deployment VARCHAR NOT NULL,
    fault VARCHAR NOT NULL, foreseen DOUBLE NOT NULL, logprob DOUBLE, verified DOUBLE,
    judged DOUBLE, below DOUBLE, chance DOUBLE, act VARCHAR NOT NULL, settled_by VARCHAR NOT NULL,
    onward VARCHAR NOT NULL, gain_usd DOUBLE NOT NULL, probability DOUBLE NOT NULL,
    skipped VARCHAR[] NOT NULL, rule VARCHAR NOT NULL, rated BIGINT NOT NULL,
    cost_micro_usd BIGINT NOT NULL, check_micro_usd BIGINT NOT NULL, latency_s DOUBLE NOT NULL
);
