-- Who did what, from where, and what it changed; and the chain: each row's hash covers the row and
-- the hash of the row before it. Null in the rows from before, which the first link covers whole.

ALTER TABLE acts ADD COLUMN author VARCHAR;
ALTER TABLE acts ADD COLUMN role VARCHAR;
ALTER TABLE acts ADD COLUMN key_id VARCHAR;
ALTER TABLE acts ADD COLUMN ip VARCHAR;
ALTER TABLE acts ADD COLUMN request_id VARCHAR;
ALTER TABLE acts ADD COLUMN before VARCHAR;
ALTER TABLE acts ADD COLUMN after VARCHAR;
ALTER TABLE acts ADD COLUMN prev_hash VARCHAR;
ALTER TABLE acts ADD COLUMN hash VARCHAR;

-- A key that ends, and the secret before the last rotation, which works until its own end.

ALTER TABLE keys ADD COLUMN expires_at TIMESTAMP;
ALTER TABLE keys ADD COLUMN old_digest VARCHAR;
ALTER TABLE keys ADD COLUMN old_ends_at TIMESTAMP;

-- Acts that wait for a second person, and those that did not wait and must be looked at.

CREATE TABLE approvals (
    log_seq BIGINT NOT NULL, id VARCHAR NOT NULL, ts TIMESTAMP NOT NULL, kind VARCHAR NOT NULL,
    act VARCHAR NOT NULL, subject VARCHAR NOT NULL, standing VARCHAR NOT NULL,
    method VARCHAR NOT NULL, path VARCHAR NOT NULL, body VARCHAR NOT NULL,
    reason VARCHAR NOT NULL, author VARCHAR NOT NULL, actor VARCHAR NOT NULL,
    role VARCHAR NOT NULL, key_id VARCHAR NOT NULL, ip VARCHAR NOT NULL,
    request_id VARCHAR NOT NULL, needs VARCHAR NOT NULL, expires_at TIMESTAMP NOT NULL
);

CREATE TABLE approval_ends (
    log_seq BIGINT NOT NULL, approval_id VARCHAR NOT NULL, ts TIMESTAMP NOT NULL,
    how VARCHAR NOT NULL, actor VARCHAR NOT NULL, author VARCHAR NOT NULL, key_id VARCHAR NOT NULL,
    reason VARCHAR NOT NULL
);
