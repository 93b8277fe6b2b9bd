-- Many schemas, a partitioned table, opaque names with comments, composite keys.
CREATE SCHEMA crm; CREATE SCHEMA shop; CREATE SCHEMA archive;
CREATE TABLE crm.contacts (contact_id uuid PRIMARY KEY, email_address text, first_name text, last_name text, preferred_language text);
CREATE TABLE shop.purchases (purchase_id bigint NOT NULL, purchase_ref text NOT NULL, contact_id uuid REFERENCES crm.contacts(contact_id), currency_iso text, gross_amount numeric(12,2), net_amount numeric(12,2), purchased_at timestamptz NOT NULL, confirmed_at timestamptz, PRIMARY KEY (purchase_id, purchased_at)) PARTITION BY RANGE (purchased_at);
CREATE TABLE shop.purchases_2026 PARTITION OF shop.purchases FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE shop.purchase_items (purchase_item_id bigint PRIMARY KEY, purchase_id bigint, article_number text, description text, qty smallint, unit_price_incl_vat numeric(12,2), unit_price_excl_vat numeric(12,2), cancelled_qty smallint);
CREATE TABLE archive.purchases (purchase_id bigint PRIMARY KEY, purchase_ref text, gross_amount numeric(12,2), confirmed_at timestamptz);
INSERT INTO crm.contacts SELECT md5(n::text)::uuid, 'z' || n || '@example.com', 'Bo', 'Li', 'de' FROM generate_series(1, 7) n;
INSERT INTO shop.purchases SELECT n, 'P-' || 9000 + n, md5((1 + n % 7)::text)::uuid, 'CHF', 24.2 * (1 + n % 2), 20, timestamptz '2026-05-01Z' + n * interval '1 hour', CASE WHEN n % 4 > 0 THEN timestamptz '2026-05-01 00:02Z' + n * interval '1 hour' END FROM generate_series(1, 20) n;
INSERT INTO shop.purchase_items SELECT n, n, '4711-' || n % 6, 'Seife', 1 + n % 2, 24.2, 20, 0 FROM generate_series(1, 20) n;
INSERT INTO archive.purchases SELECT n, 'A', 1, now() FROM generate_series(1, 90) n;
CREATE VIEW want_orders AS SELECT purchase_id AS order_key, confirmed_at, purchase_ref AS orderid, email_address AS email, currency_iso AS currency, gross_amount AS totalvalue FROM shop.purchases JOIN crm.contacts USING (contact_id) WHERE confirmed_at IS NOT NULL;
CREATE VIEW want_lines AS SELECT purchase_id AS order_key, article_number AS id, qty AS quantity, unit_price_incl_vat AS price FROM shop.purchase_items;
