-- Answers that were given again: from which decision's answer, how old it was, what that saved.

CREATE TABLE cached_answers (
    log_seq BIGINT NOT NULL, decision_id UUID NOT NULL, ts TIMESTAMP NOT NULL,
    source_decision_id UUID NOT NULL, deployment VARCHAR NOT NULL, task VARCHAR NOT NULL,
    tenant VARCHAR NOT NULL, kind VARCHAR NOT NULL, age_s DOUBLE NOT NULL,
    saved_micro_usd BIGINT NOT NULL, tokens_in BIGINT NOT NULL, tokens_out BIGINT NOT NULL
);
