-- What was tried and what came of it. Append-only: a correction is a row that supersedes another.

CREATE TABLE knowledge (
    log_seq BIGINT NOT NULL, id VARCHAR NOT NULL, ts TIMESTAMP NOT NULL, source VARCHAR NOT NULL,
    subject VARCHAR NOT NULL, title VARCHAR NOT NULL, hypothesis VARCHAR NOT NULL,
    design VARCHAR NOT NULL, result VARCHAR NOT NULL, decision VARCHAR NOT NULL,
    why VARCHAR NOT NULL, author VARCHAR NOT NULL, links VARCHAR NOT NULL, tags VARCHAR[] NOT NULL,
    supersedes VARCHAR, occasion VARCHAR NOT NULL
);
