-- Opaque names with comments, views over them, several tenants' schemas.
CREATE SCHEMA erp; CREATE SCHEMA api;
CREATE TABLE erp.t100 (c01 bigint PRIMARY KEY, c02 text, c03 bigint, c04 numeric(12,2), c05 text, c06 timestamptz, c07 text);
COMMENT ON TABLE erp.t100 IS 'Customer orders';
COMMENT ON COLUMN erp.t100.c02 IS 'Order number'; COMMENT ON COLUMN erp.t100.c04 IS 'Total amount incl. VAT'; COMMENT ON COLUMN erp.t100.c05 IS 'Currency'; COMMENT ON COLUMN erp.t100.c06 IS 'Paid at'; COMMENT ON COLUMN erp.t100.c07 IS 'E-mail';
CREATE TABLE erp.t101 (c01 bigint PRIMARY KEY, c02 bigint REFERENCES erp.t100, c03 text, c04 text, c05 int, c06 numeric(12,2));
COMMENT ON TABLE erp.t101 IS 'Order lines';
COMMENT ON COLUMN erp.t101.c03 IS 'SKU'; COMMENT ON COLUMN erp.t101.c04 IS 'Product name'; COMMENT ON COLUMN erp.t101.c05 IS 'Quantity'; COMMENT ON COLUMN erp.t101.c06 IS 'Unit price incl. VAT';
CREATE TABLE erp.t102 (c01 bigint PRIMARY KEY, c02 text); COMMENT ON TABLE erp.t102 IS 'Warehouses';
INSERT INTO erp.t100 SELECT n, 'OP' || n, 1, 24.2 * (1 + n % 3), 'EUR', CASE WHEN n % 4 > 0 THEN timestamptz '2026-05-01Z' + n * interval '1 hour' END, 'op' || n || '@example.com' FROM generate_series(1, 20) n;
INSERT INTO erp.t101 SELECT n, n, 'OPQ-' || n % 4, 'Nut', 1 + n % 3, 24.2 FROM generate_series(1, 20) n;
CREATE VIEW want_orders AS SELECT c01 AS order_key, c06 AS confirmed_at, c02 AS orderid, c07 AS email, c05 AS currency, c04 AS totalvalue FROM erp.t100 WHERE c06 IS NOT NULL;
CREATE VIEW want_lines AS SELECT c02 AS order_key, c03 AS id, c05 AS quantity, c06 AS price FROM erp.t101;
