-- Made by hand: unit prices without tax and a rate on each line; the total is with tax.
CREATE TABLE accounts (account_id bigint PRIMARY KEY, contact_email text, display_name text);
CREATE TABLE webshop_order (order_uid uuid PRIMARY KEY, public_no bigint UNIQUE, account_id bigint REFERENCES accounts, state text, placed_on timestamptz, confirmed_on timestamptz, ccy text, net_total numeric(12,2), vat_total numeric(12,2), gross_total numeric(12,2), cancelled_on timestamptz);
CREATE TABLE webshop_order_position (order_uid uuid REFERENCES webshop_order, pos_no int, item_code text, item_text text, qty int, net_price numeric(12,4), vat_rate numeric(5,2), PRIMARY KEY (order_uid, pos_no));
INSERT INTO accounts SELECT n, 'np' || n || '@example.com', 'x' FROM generate_series(1, 6) n;
INSERT INTO webshop_order SELECT md5(n::text)::uuid, 5000 + n, 1 + n % 6, 'ok', timestamptz '2026-05-01Z' + n * interval '1 hour', CASE WHEN n % 4 > 0 THEN timestamptz '2026-05-01 00:01Z' + n * interval '1 hour' END, 'NOK', 100 * (1 + n % 3), 25 * (1 + n % 3), 125 * (1 + n % 3) FROM generate_series(1, 20) n;
INSERT INTO webshop_order_position SELECT md5(n::text)::uuid, 1, 'IC' || n % 5, 'Ski', 1 + n % 3, 100, 25 FROM generate_series(1, 20) n;
CREATE VIEW want_orders AS SELECT order_uid AS order_key, confirmed_on AS confirmed_at, public_no::text AS orderid, contact_email AS email, ccy AS currency, gross_total AS totalvalue FROM webshop_order JOIN accounts USING (account_id) WHERE confirmed_on IS NOT NULL;
CREATE VIEW want_lines AS SELECT order_uid AS order_key, item_code AS id, qty AS quantity, 125 AS price FROM webshop_order_position;
