-- Rails by hand: *_cents, soft deletes, line_items with sku, payments with a state, enums as text.
CREATE TABLE users (id bigserial PRIMARY KEY, email varchar NOT NULL UNIQUE, first_name varchar, last_name varchar, locale varchar, created_at timestamp(6), updated_at timestamp(6));
CREATE TABLE products (id bigserial PRIMARY KEY, title varchar, sku varchar UNIQUE, price_cents int, deleted_at timestamp(6));
CREATE TABLE orders (id bigserial PRIMARY KEY, token varchar NOT NULL, user_id bigint, guest_email varchar, status varchar NOT NULL DEFAULT 'pending', subtotal_cents int, tax_cents int, shipping_cents int, total_cents int, currency varchar(3), created_at timestamp(6) NOT NULL, updated_at timestamp(6) NOT NULL, deleted_at timestamp(6));
CREATE INDEX index_orders_on_created_at ON orders (created_at);
CREATE TABLE line_items (id bigserial PRIMARY KEY, order_id bigint NOT NULL, product_id bigint, sku varchar, title varchar, quantity int, price_cents int, total_cents int, created_at timestamp(6));
CREATE TABLE payments (id bigserial PRIMARY KEY, order_id bigint NOT NULL, stripe_charge_id varchar, amount_cents int, status varchar, paid_at timestamp(6), created_at timestamp(6));
CREATE TABLE schema_migrations (version varchar PRIMARY KEY);
INSERT INTO users (email, locale) SELECT 'r' || n || '@example.com', 'nl' FROM generate_series(1, 6) n;
INSERT INTO products (title, sku, price_cents) SELECT 'Pan', 'PAN' || n, 2500 FROM generate_series(1, 4) n;
INSERT INTO orders (token, user_id, guest_email, status, subtotal_cents, tax_cents, shipping_cents, total_cents, currency, created_at, updated_at) SELECT md5(n::text), CASE WHEN n % 2 = 0 THEN 1 + n % 6 END, CASE WHEN n % 2 = 1 THEN 'g' || n || '@example.com' END, CASE WHEN n % 4 = 0 THEN 'pending' ELSE 'paid' END, 2500 * (1 + n % 3), 0, 500, 2500 * (1 + n % 3) + 500, 'EUR', timestamp '2026-05-01' + n * interval '1 hour', now() FROM generate_series(1, 24) n;
INSERT INTO line_items (order_id, product_id, sku, title, quantity, price_cents, total_cents) SELECT n, 1 + n % 4, 'PAN' || 1 + n % 4, 'Pan', 1 + n % 3, 2500, 2500 * (1 + n % 3) FROM generate_series(1, 24) n;
INSERT INTO payments (order_id, amount_cents, status, paid_at, created_at) SELECT n, 1, 'succeeded', timestamp '2026-05-01 00:02' + n * interval '1 hour', now() FROM generate_series(1, 24) n WHERE n % 4 > 0;
CREATE VIEW want_orders AS SELECT o.id AS order_key, p.paid_at AS confirmed_at, token AS orderid, coalesce(u.email, guest_email) AS email, currency, o.total_cents / 100.0 AS totalvalue FROM orders o JOIN payments p ON p.order_id = o.id LEFT JOIN users u ON u.id = user_id;
CREATE VIEW want_lines AS SELECT order_id AS order_key, sku AS id, quantity, price_cents / 100.0 AS price FROM line_items;
