-- Experiments, promotions and rollbacks, shadows, evaluations and the audit of propensities. A
-- decision may be in several experiments (one a layer): the lists are parallel. Null in the rows
-- from before; `experiment`, `variant` and `variant_probability` repeat the first of each.

ALTER TABLE decisions ADD COLUMN experiments VARCHAR[];
ALTER TABLE decisions ADD COLUMN variants VARCHAR[];
ALTER TABLE decisions ADD COLUMN variant_probabilities DOUBLE[];
ALTER TABLE decisions ADD COLUMN units VARCHAR[];

CREATE TABLE experiments (
    log_seq BIGINT NOT NULL, id VARCHAR NOT NULL, ts TIMESTAMP NOT NULL, slug VARCHAR NOT NULL,
    version INTEGER NOT NULL, layer VARCHAR NOT NULL, first INTEGER NOT NULL,
    stop INTEGER NOT NULL, design VARCHAR NOT NULL, author VARCHAR NOT NULL,
    reason VARCHAR NOT NULL
);

CREATE TABLE experiment_steps (
    log_seq BIGINT NOT NULL, id VARCHAR NOT NULL, experiment VARCHAR NOT NULL,
    ts TIMESTAMP NOT NULL, step VARCHAR NOT NULL, before VARCHAR NOT NULL, after VARCHAR NOT NULL,
    percent INTEGER NOT NULL, variant VARCHAR, author VARCHAR NOT NULL, reason VARCHAR NOT NULL,
    cause VARCHAR NOT NULL
);

CREATE TABLE promotions (
    log_seq BIGINT NOT NULL, id VARCHAR NOT NULL, ts TIMESTAMP NOT NULL,
    version_id VARCHAR NOT NULL, from_version_id VARCHAR, checkpoint_id VARCHAR NOT NULL,
    restored_id VARCHAR, how VARCHAR NOT NULL, author VARCHAR NOT NULL, reason VARCHAR NOT NULL,
    cause VARCHAR NOT NULL
);

CREATE TABLE shadows (
    log_seq BIGINT NOT NULL, id VARCHAR NOT NULL, ts TIMESTAMP NOT NULL,
    version_id VARCHAR NOT NULL, share DOUBLE NOT NULL, mirror_share DOUBLE NOT NULL,
    cap_micro_usd BIGINT NOT NULL, judge VARCHAR NOT NULL, author VARCHAR NOT NULL,
    reason VARCHAR NOT NULL
);

CREATE TABLE shadow_ends (
    log_seq BIGINT NOT NULL, shadow_id VARCHAR NOT NULL, ts TIMESTAMP NOT NULL,
    author VARCHAR NOT NULL, reason VARCHAR NOT NULL
);

CREATE TABLE shadow_decisions (
    log_seq BIGINT NOT NULL, decision_id UUID NOT NULL, ts TIMESTAMP NOT NULL,
    version_id VARCHAR NOT NULL, update_seq BIGINT NOT NULL, deployment VARCHAR NOT NULL,
    propensity DOUBLE NOT NULL, eligible VARCHAR[] NOT NULL, propensities DOUBLE[] NOT NULL,
    draw DOUBLE NOT NULL, quality DOUBLE[] NOT NULL, cost_usd DOUBLE[] NOT NULL,
    mirrored BOOLEAN NOT NULL
);

CREATE TABLE judgements (
    log_seq BIGINT NOT NULL, id VARCHAR NOT NULL, decision_id UUID NOT NULL,
    ts TIMESTAMP NOT NULL, version_id VARCHAR NOT NULL, served VARCHAR NOT NULL,
    mirrored VARCHAR NOT NULL, judge VARCHAR NOT NULL, preference DOUBLE,
    consistent BOOLEAN NOT NULL, cost_micro_usd BIGINT NOT NULL
);

CREATE TABLE evaluations (
    log_seq BIGINT NOT NULL, id VARCHAR NOT NULL, ts TIMESTAMP NOT NULL,
    version_id VARCHAR NOT NULL, since_at TIMESTAMP NOT NULL, until_at TIMESTAMP NOT NULL,
    passed BOOLEAN NOT NULL, reason VARCHAR NOT NULL, report VARCHAR NOT NULL
);

CREATE TABLE audit_marks (
    log_seq BIGINT NOT NULL, ts TIMESTAMP NOT NULL, through_seq BIGINT NOT NULL,
    decisions BIGINT NOT NULL, log_e DOUBLE NOT NULL, state VARCHAR NOT NULL
);
