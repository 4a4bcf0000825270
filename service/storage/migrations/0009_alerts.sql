-- What alerted, what was done about it and who was told; and what people silenced. Append-only.

CREATE TABLE alert_events (
    log_seq BIGINT NOT NULL, id VARCHAR NOT NULL, ts TIMESTAMP NOT NULL,
    alert_id VARCHAR NOT NULL, step VARCHAR NOT NULL, rule VARCHAR NOT NULL,
    scope VARCHAR NOT NULL, severity VARCHAR NOT NULL, value DOUBLE, threshold DOUBLE,
    text VARCHAR NOT NULL, author VARCHAR NOT NULL, reason VARCHAR NOT NULL,
    detail VARCHAR NOT NULL
);

CREATE TABLE silences (
    log_seq BIGINT NOT NULL, id VARCHAR NOT NULL, ts TIMESTAMP NOT NULL, rule VARCHAR NOT NULL,
    scope VARCHAR NOT NULL, until_at TIMESTAMP NOT NULL, author VARCHAR NOT NULL,
    reason VARCHAR NOT NULL
);

CREATE TABLE silence_ends (
    log_seq BIGINT NOT NULL, silence_id VARCHAR NOT NULL, ts TIMESTAMP NOT NULL,
    author VARCHAR NOT NULL, reason VARCHAR NOT NULL
);
