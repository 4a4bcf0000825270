-- What a person is shown of a deployment beside its share: on trial, held down, and so on. Null in
-- the rows from before.

ALTER TABLE weights ADD COLUMN state VARCHAR;
