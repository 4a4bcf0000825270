-- What was foreseen of each decision, and which checks of answers that let be skipped.

CREATE TABLE predictions (
    log_seq BIGINT NOT NULL, decision_id UUID NOT NULL, ts TIMESTAMP NOT NULL,
    model_id VARCHAR NOT NULL, state VARCHAR NOT NULL, complexity DOUBLE NOT NULL,
    ambiguity DOUBLE NOT NULL, difficulty DOUBLE NOT NULL, deployments VARCHAR[] NOT NULL,
    chances DOUBLE[] NOT NULL, act VARCHAR NOT NULL, probability DOUBLE NOT NULL,
    taken_out VARCHAR[] NOT NULL
);

CREATE TABLE checks_drawn (
    log_seq BIGINT NOT NULL, decision_id UUID NOT NULL, ts TIMESTAMP NOT NULL,
    deployment VARCHAR NOT NULL, chance DOUBLE NOT NULL, checked BOOLEAN NOT NULL,
    probability DOUBLE NOT NULL, episode INTEGER NOT NULL
);
