-- Whether a conversation should leave the deployment that holds it, as it was reckoned at a turn.

CREATE TABLE stays (
    log_seq BIGINT NOT NULL, decision_id UUID NOT NULL, ts TIMESTAMP NOT NULL,
    session_decision_id UUID NOT NULL, held VARCHAR NOT NULL, best VARCHAR NOT NULL,
    gain DOUBLE NOT NULL, spread DOUBLE NOT NULL, turns DOUBLE NOT NULL,
    prefix_tokens BIGINT NOT NULL, cached_share DOUBLE NOT NULL, cache_usd DOUBLE NOT NULL,
    reread_s DOUBLE NOT NULL, lost DOUBLE NOT NULL, value DOUBLE NOT NULL,
    verdict VARCHAR NOT NULL, probability DOUBLE NOT NULL
);
