-- Requests of batches that have their result: how and when they were answered, what that saved.

CREATE TABLE batch_requests (
    log_seq BIGINT NOT NULL, batch_id VARCHAR NOT NULL, number BIGINT NOT NULL,
    ts TIMESTAMP NOT NULL, key_id VARCHAR NOT NULL, tenant VARCHAR NOT NULL,
    endpoint VARCHAR NOT NULL, decision_id UUID, deployment VARCHAR NOT NULL, way VARCHAR NOT NULL,
    hours VARCHAR NOT NULL, result VARCHAR NOT NULL, code VARCHAR NOT NULL, tries BIGINT NOT NULL,
    tokens_in BIGINT NOT NULL, tokens_out BIGINT NOT NULL, paid_micro_usd BIGINT NOT NULL,
    list_micro_usd BIGINT NOT NULL
);
