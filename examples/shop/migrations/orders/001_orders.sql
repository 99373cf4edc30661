-- No foreign keys: users and products are in other clusters.
CREATE TABLE orders (
  order_id uuid PRIMARY KEY,
  user_id uuid NOT NULL,
  product_id int NOT NULL,
  quantity int NOT NULL CHECK (quantity > 0),
  amount bigint NOT NULL, -- in cents
  ordered_at timestamptz NOT NULL DEFAULT now()
);
