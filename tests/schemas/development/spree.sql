-- Rails, no foreign keys, decimal totals, integer keys, completed_at names the placement.
CREATE TABLE spree_users (id serial PRIMARY KEY, email varchar NOT NULL, encrypted_password varchar, created_at timestamp, updated_at timestamp);
CREATE TABLE spree_addresses (id serial PRIMARY KEY, firstname varchar, lastname varchar, address1 varchar, city varchar, zipcode varchar, phone varchar, country_id int, created_at timestamp);
CREATE TABLE spree_countries (id serial PRIMARY KEY, iso_name varchar, iso varchar, name varchar);
CREATE TABLE spree_products (id serial PRIMARY KEY, name varchar, slug varchar, deleted_at timestamp, created_at timestamp);
CREATE TABLE spree_variants (id serial PRIMARY KEY, sku varchar NOT NULL, product_id int, is_master boolean, cost_price numeric(10,2), deleted_at timestamp);
CREATE TABLE spree_orders (id serial PRIMARY KEY, number varchar(32), item_total numeric(10,2) NOT NULL, total numeric(10,2) NOT NULL, state varchar, adjustment_total numeric(10,2) DEFAULT 0, user_id int, completed_at timestamp, bill_address_id int, ship_address_id int, payment_total numeric(10,2) DEFAULT 0, shipment_state varchar, payment_state varchar, email varchar, special_instructions text, currency varchar, last_ip_address varchar, guest_token varchar, item_count int DEFAULT 0, created_at timestamp, updated_at timestamp);
CREATE UNIQUE INDEX ON spree_orders (number);
CREATE INDEX ON spree_orders (completed_at);
CREATE TABLE spree_line_items (id serial PRIMARY KEY, variant_id int, order_id int, quantity int NOT NULL, price numeric(10,2) NOT NULL, currency varchar, cost_price numeric(10,2), adjustment_total numeric(10,2) DEFAULT 0, pre_tax_amount numeric(12,4), created_at timestamp, updated_at timestamp);
CREATE INDEX ON spree_line_items (order_id);
CREATE TABLE spree_payments (id serial PRIMARY KEY, amount numeric(10,2), order_id int, source_type varchar, state varchar, response_code varchar, number varchar, created_at timestamp);
CREATE TABLE spree_shipments (id serial PRIMARY KEY, tracking varchar, number varchar, cost numeric(10,2), shipped_at timestamp, order_id int, state varchar);
CREATE TABLE spree_state_changes (id serial PRIMARY KEY, name varchar, previous_state varchar, stateful_id int, stateful_type varchar, next_state varchar, created_at timestamp);
CREATE TABLE spree_adjustments (id serial PRIMARY KEY, order_id int, amount numeric(10,2), label varchar, source_type varchar, created_at timestamp);
INSERT INTO spree_users (email) SELECT 'u' || n || '@example.com' FROM generate_series(1, 9) n;
INSERT INTO spree_countries (iso_name, iso, name) VALUES ('NETHERLANDS', 'NL', 'Netherlands'), ('GERMANY', 'DE', 'Germany');
INSERT INTO spree_addresses (firstname, lastname, city, zipcode, phone, country_id) SELECT 'Jan', 'Smit', 'Delft', '2611', '0150000', 1 + n % 2 FROM generate_series(1, 20) n;
INSERT INTO spree_products (name) SELECT 'Mug ' || n FROM generate_series(1, 5) n;
INSERT INTO spree_variants (sku, product_id, is_master, cost_price) SELECT 'MUG-' || n, n, true, 1 FROM generate_series(1, 5) n;
INSERT INTO spree_orders (number, item_total, total, state, user_id, completed_at, bill_address_id, ship_address_id, payment_total, payment_state, email, currency, item_count, created_at, updated_at)
SELECT 'R' || 100000000 + n * 7919, 10.00 * (1 + n % 3) + 5, 10.00 * (1 + n % 3) + 5 + 4.95, CASE WHEN n % 5 = 0 THEN 'cart' ELSE 'complete' END, CASE WHEN n % 2 = 0 THEN 1 + n % 9 END, CASE WHEN n % 5 > 0 THEN timestamp '2026-05-01' + n * interval '1 hour' END, 1 + n % 20, 1 + n % 20, 0, CASE WHEN n % 5 > 0 THEN 'paid' END, CASE WHEN n % 5 > 0 THEN 'c' || n || '@example.com' END, CASE WHEN n % 4 = 0 THEN 'USD' ELSE 'EUR' END, 2, timestamp '2026-04-30' + n * interval '1 hour', timestamp '2026-05-09' FROM generate_series(1, 30) n;
INSERT INTO spree_line_items (variant_id, order_id, quantity, price, currency) SELECT 1 + n % 5, n, 1 + n % 3, 10.00, 'EUR' FROM generate_series(1, 30) n;
INSERT INTO spree_line_items (variant_id, order_id, quantity, price, currency) SELECT 1 + (n + 1) % 5, n, 1, 5.00, 'EUR' FROM generate_series(1, 30) n;
INSERT INTO spree_payments (amount, order_id, state, created_at) SELECT total, id, 'completed', completed_at FROM spree_orders WHERE state = 'complete';
INSERT INTO spree_state_changes (name, previous_state, stateful_id, stateful_type, next_state, created_at) SELECT 'order', 'confirm', id, 'Spree::Order', 'complete', completed_at FROM spree_orders WHERE state = 'complete';
CREATE VIEW want_orders AS SELECT id AS order_key, completed_at AS confirmed_at, number AS orderid, email, currency, total AS totalvalue FROM spree_orders WHERE completed_at IS NOT NULL;
CREATE VIEW want_lines AS SELECT i.order_id AS order_key, v.sku AS id, i.quantity, i.price FROM spree_line_items i JOIN spree_variants v ON v.id = i.variant_id;
