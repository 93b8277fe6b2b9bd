-- Tryton-like: party with contact mechanisms (EAV-ish), sale_sale, no total without tax.
CREATE TABLE currency_currency (id serial PRIMARY KEY, code varchar, name varchar, digits int);
CREATE TABLE party_party (id serial PRIMARY KEY, name varchar, code varchar, lang int, active boolean);
CREATE TABLE party_contact_mechanism (id serial PRIMARY KEY, party int REFERENCES party_party(id), type varchar, value varchar, active boolean);
CREATE TABLE product_product (id serial PRIMARY KEY, code varchar, template int, active boolean);
CREATE TABLE sale_sale (id serial PRIMARY KEY, number varchar, reference varchar, description varchar, state varchar, party int NOT NULL REFERENCES party_party(id), currency int REFERENCES currency_currency(id), sale_date date, confirmed_at timestamp, untaxed_amount_cache numeric, tax_amount_cache numeric, total_amount_cache numeric, shipment_state varchar, invoice_state varchar, create_date timestamp, write_date timestamp);
CREATE TABLE sale_line (id serial PRIMARY KEY, sale int NOT NULL REFERENCES sale_sale(id), sequence int, type varchar, product int REFERENCES product_product(id), description text, quantity double precision, unit int, unit_price numeric, create_date timestamp);
INSERT INTO currency_currency (code, name, digits) VALUES ('EUR', 'Euro', 2);
INSERT INTO party_party (name, code, active) SELECT 'P' || n, n, true FROM generate_series(1, 6) n;
INSERT INTO party_contact_mechanism (party, type, value, active) SELECT n, 'email', 't' || n || '@example.com', true FROM generate_series(1, 6) n;
INSERT INTO product_product (code, template, active) SELECT 'TR' || n, n, true FROM generate_series(1, 4) n;
INSERT INTO sale_sale (number, state, party, currency, sale_date, confirmed_at, untaxed_amount_cache, tax_amount_cache, total_amount_cache, create_date) SELECT CASE WHEN n % 4 > 0 THEN 'SO' || n END, CASE WHEN n % 4 > 0 THEN 'processing' ELSE 'draft' END, 1 + n % 6, 1, date '2026-05-01', CASE WHEN n % 4 > 0 THEN timestamp '2026-05-01' + n * interval '1 hour' END, 10 * (1 + n % 2), 0, 10 * (1 + n % 2), now() FROM generate_series(1, 20) n;
INSERT INTO sale_line (sale, type, product, description, quantity, unit_price) SELECT n, 'line', 1 + n % 4, 'Klok', 1 + n % 2, 10 FROM generate_series(1, 20) n;
CREATE VIEW want_orders AS SELECT s.id AS order_key, confirmed_at, number AS orderid, m.value AS email, 'EUR' AS currency, total_amount_cache AS totalvalue FROM sale_sale s JOIN party_contact_mechanism m ON m.party = s.party WHERE confirmed_at IS NOT NULL;
CREATE VIEW want_lines AS SELECT sale AS order_key, code AS id, quantity, unit_price AS price FROM sale_line l JOIN product_product p ON p.id = l.product;
