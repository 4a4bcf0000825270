-- The quality model that an update of the kind `prior` made the policy's prior.

ALTER TABLE updates ADD COLUMN model_id VARCHAR;
