-- What is put to a person beside refusals, and the turns of all that is. No prompts and no answers.

CREATE TABLE review_items (
    log_seq BIGINT NOT NULL, id VARCHAR NOT NULL, ts TIMESTAMP NOT NULL, kind VARCHAR NOT NULL,
    subject VARCHAR NOT NULL, why VARCHAR NOT NULL, decision_id UUID, key_id VARCHAR NOT NULL,
    tenant VARCHAR NOT NULL, tier VARCHAR NOT NULL, task VARCHAR NOT NULL,
    deployment VARCHAR NOT NULL, confidence DOUBLE, probability DOUBLE NOT NULL,
    due_at TIMESTAMP NOT NULL, detail VARCHAR NOT NULL
);

CREATE TABLE review_turns (
    log_seq BIGINT NOT NULL, item_id VARCHAR NOT NULL, ts TIMESTAMP NOT NULL,
    turn VARCHAR NOT NULL, key_id VARCHAR NOT NULL, reviewer VARCHAR NOT NULL,
    until_at TIMESTAMP, verdict VARCHAR, note VARCHAR NOT NULL, idempotency_key VARCHAR
);
