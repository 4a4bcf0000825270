-- Overrides in full: narrower scopes, and what their actions take. Null in the rows from before,
-- which are read as of no tenant, tier, target or ticket.

ALTER TABLE overrides ADD COLUMN tenant VARCHAR;
ALTER TABLE overrides ADD COLUMN tier VARCHAR;
ALTER TABLE overrides ADD COLUMN target VARCHAR;
ALTER TABLE overrides ADD COLUMN least DOUBLE;
ALTER TABLE overrides ADD COLUMN greatest DOUBLE;
ALTER TABLE overrides ADD COLUMN usd DOUBLE;
ALTER TABLE overrides ADD COLUMN ticket VARCHAR;
ALTER TABLE overrides ADD COLUMN renews VARCHAR;
