-- What providers' content policies refused, and what people made of it. No prompts, no vendor's
-- text: keyed hashes, and code words of a closed set.

CREATE TABLE refusals (
    log_seq BIGINT NOT NULL, id VARCHAR NOT NULL, ts TIMESTAMP NOT NULL,
    decision_id UUID NOT NULL, prompt_hash VARCHAR NOT NULL, request_hash VARCHAR NOT NULL,
    key_id VARCHAR NOT NULL, tenant VARCHAR NOT NULL, tier VARCHAR NOT NULL,
    unit VARCHAR NOT NULL, task VARCHAR NOT NULL, deployment VARCHAR NOT NULL,
    provider VARCHAR NOT NULL, word VARCHAR NOT NULL, repeat_of VARCHAR
);

CREATE TABLE reviews (
    log_seq BIGINT NOT NULL, id VARCHAR NOT NULL, ts TIMESTAMP NOT NULL,
    incident VARCHAR NOT NULL, decision_id UUID NOT NULL, request_hash VARCHAR NOT NULL,
    key_id VARCHAR NOT NULL, tenant VARCHAR NOT NULL, tier VARCHAR NOT NULL,
    unit VARCHAR NOT NULL, task VARCHAR NOT NULL, deployment VARCHAR NOT NULL,
    provider VARCHAR NOT NULL, word VARCHAR NOT NULL, due_at TIMESTAMP NOT NULL
);

CREATE TABLE review_decisions (
    log_seq BIGINT NOT NULL, review_id VARCHAR NOT NULL, ts TIMESTAMP NOT NULL,
    verdict VARCHAR NOT NULL, reviewer VARCHAR NOT NULL, note VARCHAR NOT NULL
);
