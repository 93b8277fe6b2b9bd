-- Names with blanks, quotes and capitals; lines as JSON on the order; soft deletes.
CREATE SCHEMA "My Shop";
CREATE TABLE "My Shop"."Customer Orders" ("Order ID" uuid PRIMARY KEY, "Order No." text UNIQUE, "E-Mail" text, "Currency Code" char(3), "Grand ""Total""" numeric(12,2), "Paid At" timestamptz, "Items" jsonb, "is deleted" boolean NOT NULL DEFAULT false, "Language" text);
CREATE TABLE "My Shop"."Customer Orders Log" ("ID" serial PRIMARY KEY, "Message" text, "At" timestamptz);
CREATE TABLE "My Shop"."Products" ("SKU" text PRIMARY KEY, "Name" text);
INSERT INTO "My Shop"."Customer Orders" SELECT md5(n::text)::uuid, 'WEB-' || n, 'q' || n || '@example.com', 'GBP', 5.25 * 2 * n, CASE WHEN n % 4 > 0 THEN timestamptz '2026-05-01Z' + n * interval '1 hour' END, jsonb_build_array(jsonb_build_object('sku', 'S' || n % 3, 'title', 'Thing', 'qty', n, 'price', 5.25), jsonb_build_object('sku', 'S' || (n + 1) % 3, 'title', 'Other', 'qty', n, 'price', 5.25)), false, 'en-GB' FROM generate_series(1, 16) n;
CREATE VIEW want_orders AS SELECT "Order ID" AS order_key, "Paid At" AS confirmed_at, "Order No." AS orderid, "E-Mail" AS email, "Currency Code" AS currency, "Grand ""Total""" AS totalvalue FROM "My Shop"."Customer Orders" WHERE "Paid At" IS NOT NULL;
CREATE VIEW want_lines AS SELECT "Order ID" AS order_key, j ->> 'sku' AS id, (j ->> 'qty')::numeric AS quantity, (j ->> 'price')::numeric AS price FROM "My Shop"."Customer Orders", jsonb_array_elements("Items") j;
