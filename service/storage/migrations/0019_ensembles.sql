-- How several outputs became one answer. No prompts and no answers: equal answers share a letter.

CREATE TABLE ensembles (
    log_seq BIGINT NOT NULL, decision_id UUID NOT NULL, ts TIMESTAMP NOT NULL,
    ensemble VARCHAR NOT NULL, digest VARCHAR NOT NULL, episode INTEGER NOT NULL,
    task VARCHAR NOT NULL, arm VARCHAR NOT NULL, probability DOUBLE NOT NULL,
    members VARCHAR[] NOT NULL, numbers INTEGER[] NOT NULL, states VARCHAR[] NOT NULL,
    votes VARCHAR[] NOT NULL, weights DOUBLE[] NOT NULL, aggregator VARCHAR NOT NULL,
    chosen INTEGER, deployment VARCHAR, tied BOOLEAN NOT NULL, stopped VARCHAR NOT NULL,
    why VARCHAR NOT NULL, cost_micro_usd BIGINT NOT NULL, beside_micro_usd BIGINT NOT NULL,
    multiplier DOUBLE, latency_s DOUBLE NOT NULL
);
