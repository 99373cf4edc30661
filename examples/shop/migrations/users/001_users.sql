-- On each shard of the cluster: the users whose user_id belongs to it.
CREATE TABLE users (
  user_id uuid PRIMARY KEY,
  name text NOT NULL,
  balance bigint NOT NULL DEFAULT 0 CHECK (balance >= 0), -- in cents
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX users_created_at ON users (created_at);
