-- How much ratings count, what is known of their authors, and what labels of tasks are learned from.
-- Null in the rows from before, which count in full. No prompts: features are a projection.

ALTER TABLE updates ADD COLUMN weight DOUBLE;
ALTER TABLE updates ADD COLUMN revises_weight DOUBLE;

CREATE TABLE rating_weights (
    log_seq BIGINT NOT NULL, feedback_id UUID NOT NULL, ts TIMESTAMP NOT NULL,
    decision_id UUID NOT NULL, decided_at TIMESTAMP NOT NULL, author VARCHAR NOT NULL,
    rater VARCHAR NOT NULL, tenant VARCHAR NOT NULL, arm VARCHAR NOT NULL, task VARCHAR NOT NULL,
    kind VARCHAR NOT NULL, weight DOUBLE NOT NULL, trust DOUBLE NOT NULL, reason VARCHAR NOT NULL
);

CREATE TABLE trust_steps (
    log_seq BIGINT NOT NULL, feedback_id UUID NOT NULL, ts TIMESTAMP NOT NULL,
    author VARCHAR NOT NULL, rater VARCHAR NOT NULL, reference VARCHAR NOT NULL,
    agreement DOUBLE NOT NULL, weight DOUBLE NOT NULL
);

CREATE TABLE classified_features (
    log_seq BIGINT NOT NULL, item_id VARCHAR NOT NULL, ts TIMESTAMP NOT NULL,
    features_version VARCHAR NOT NULL, features FLOAT[] NOT NULL
);
