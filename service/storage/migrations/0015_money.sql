-- Money beside attempts: what else calls were billed for, the prices in force, the budgets of keys.

CREATE TABLE charges (
    log_seq BIGINT NOT NULL, decision_id UUID NOT NULL, number INTEGER NOT NULL,
    ts TIMESTAMP NOT NULL, deployment VARCHAR NOT NULL, cache_write_tokens BIGINT NOT NULL,
    reasoning_tokens BIGINT NOT NULL, images BIGINT NOT NULL, characters BIGINT NOT NULL
);

CREATE TABLE tariffs (
    log_seq BIGINT NOT NULL, ts TIMESTAMP NOT NULL, deployment VARCHAR NOT NULL,
    provider VARCHAR NOT NULL, model VARCHAR NOT NULL, from_at TIMESTAMP NOT NULL,
    input_micro_usd_mtok BIGINT NOT NULL, output_micro_usd_mtok BIGINT NOT NULL,
    cached_input_micro_usd_mtok BIGINT, cache_write_micro_usd_mtok BIGINT,
    reasoning_micro_usd_mtok BIGINT, image_micro_usd BIGINT NOT NULL,
    mchar_micro_usd BIGINT NOT NULL, request_micro_usd BIGINT NOT NULL, batch_ppm BIGINT NOT NULL
);

CREATE TABLE key_budgets (
    log_seq BIGINT NOT NULL, key_id VARCHAR NOT NULL, ts TIMESTAMP NOT NULL,
    period VARCHAR NOT NULL, hard_micro_usd BIGINT, soft_micro_usd BIGINT,
    at_cap VARCHAR NOT NULL, author VARCHAR NOT NULL, reason VARCHAR NOT NULL
);
