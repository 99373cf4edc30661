CREATE TABLE products (
  product_id int PRIMARY KEY,
  name text NOT NULL,
  price bigint NOT NULL CHECK (price > 0), -- in cents
  stock int NOT NULL CHECK (stock >= 0)
);
