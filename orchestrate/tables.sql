-- What `sync_organization.py` notes of each sync. Run it at set-up; it may be run again.
CREATE SCHEMA IF NOT EXISTS ops;
CREATE SCHEMA IF NOT EXISTS meltano; -- for the tables that Meltano makes itself

CREATE TABLE IF NOT EXISTS ops.syncs (
  id uuid PRIMARY KEY, -- Meltano's run ID
  organization text NOT NULL,
  org_id text NOT NULL,
  kind text NOT NULL, -- incremental, often, full
  began timestamptz NOT NULL,
  ended timestamptz, -- null while it runs
  outcome text, -- done, failed, retry; null while it runs
  code integer,
  rows bigint,
  requests bigint,
  waited double precision, -- seconds
  marked bigint,
  message text
);

CREATE INDEX IF NOT EXISTS syncs_by_organization ON ops.syncs (org_id, kind, began);

CREATE OR REPLACE VIEW ops.freshness AS
SELECT
  (array_agg(organization ORDER BY began DESC))[1] AS organization,
  org_id,
  kind,
  max(began) FILTER (WHERE outcome = 'done') AS last_success,
  -- An organization that never succeeded is as late as its first try is old.
  now() - coalesce(max(began) FILTER (WHERE outcome = 'done'), min(began)) AS lag
FROM ops.syncs
GROUP BY org_id, kind;
