-- What judges said of answers, and how they were held against people. No prompts and no answers.

CREATE TABLE judgings (
    log_seq BIGINT NOT NULL, id VARCHAR NOT NULL, ts TIMESTAMP NOT NULL, kind VARCHAR NOT NULL,
    origin VARCHAR NOT NULL, subject VARCHAR NOT NULL, decision_id UUID, task VARCHAR NOT NULL,
    deployment VARCHAR NOT NULL, judge VARCHAR NOT NULL, rubric VARCHAR NOT NULL,
    digest VARCHAR NOT NULL, value DOUBLE, first DOUBLE, second DOUBLE, consistent BOOLEAN NOT NULL,
    probability DOUBLE NOT NULL, length BIGINT NOT NULL, decoration BIGINT NOT NULL,
    cost_micro_usd BIGINT NOT NULL, taught BOOLEAN NOT NULL
);

CREATE TABLE judge_checks (
    log_seq BIGINT NOT NULL, id VARCHAR NOT NULL, ts TIMESTAMP NOT NULL, judge VARCHAR NOT NULL,
    digest VARCHAR NOT NULL, items BIGINT NOT NULL, kappa DOUBLE, low DOUBLE, high DOUBLE,
    flipped DOUBLE, state VARCHAR NOT NULL, cost_micro_usd BIGINT NOT NULL, author VARCHAR NOT NULL,
    report VARCHAR NOT NULL
);
