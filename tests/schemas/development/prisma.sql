-- Prisma: quoted names, cents as integers, enums, timestamps without zone.
CREATE TYPE "OrderStatus" AS ENUM ('PENDING', 'PAID', 'SHIPPED', 'CANCELLED');
CREATE TABLE "User" (id text PRIMARY KEY, email text NOT NULL UNIQUE, name text, locale text, "createdAt" timestamp(3) DEFAULT now(), "updatedAt" timestamp(3));
CREATE TABLE "Product" (id text PRIMARY KEY, sku text NOT NULL UNIQUE, name text NOT NULL, "priceCents" int NOT NULL, "createdAt" timestamp(3) DEFAULT now());
CREATE TABLE "Order" (id text PRIMARY KEY, "orderNumber" serial NOT NULL UNIQUE, "userId" text NOT NULL REFERENCES "User"(id), status "OrderStatus" NOT NULL DEFAULT 'PENDING', "totalCents" int NOT NULL, "shippingCents" int NOT NULL, currency text NOT NULL DEFAULT 'EUR', "paidAt" timestamp(3), "createdAt" timestamp(3) NOT NULL DEFAULT now(), "updatedAt" timestamp(3) NOT NULL, "deletedAt" timestamp(3));
CREATE TABLE "OrderItem" (id text PRIMARY KEY, "orderId" text NOT NULL REFERENCES "Order"(id), "productId" text NOT NULL REFERENCES "Product"(id), quantity int NOT NULL, "unitPriceCents" int NOT NULL);
CREATE TABLE "_prisma_migrations" (id varchar(36) PRIMARY KEY, checksum varchar, finished_at timestamptz, migration_name varchar);
CREATE TABLE "Cart" (id text PRIMARY KEY, "userId" text, "updatedAt" timestamp(3));
CREATE TABLE "CartItem" (id text PRIMARY KEY, "cartId" text REFERENCES "Cart"(id), "productId" text, quantity int);
INSERT INTO "User" (id, email, name, locale) SELECT 'u' || n, 'u' || n || '@example.com', 'Ann ' || n, 'nl-NL' FROM generate_series(1, 8) n;
INSERT INTO "Product" SELECT 'p' || n, 'SKU-' || n, 'Thing ' || n, n * 250 FROM generate_series(1, 6) n;
INSERT INTO "Order" (id, "userId", status, "totalCents", "shippingCents", currency, "paidAt", "createdAt", "updatedAt") SELECT 'ck' || md5(n::text), 'u' || 1 + n % 8, (CASE WHEN n % 4 = 0 THEN 'PENDING' ELSE 'PAID' END)::"OrderStatus", 250 * (1 + n % 6) * (1 + n % 2) + 495, 495, 'EUR', CASE WHEN n % 4 > 0 THEN timestamp '2026-05-01' + n * interval '1 hour' END, timestamp '2026-05-01' + n * interval '59 minutes', now() FROM generate_series(1, 24) n;
INSERT INTO "OrderItem" SELECT 'i' || n, 'ck' || md5(n::text), 'p' || 1 + n % 6, 1 + n % 2, 250 * (1 + n % 6) FROM generate_series(1, 24) n;
CREATE VIEW want_orders AS SELECT o.id AS order_key, o."paidAt" AS confirmed_at, o."orderNumber"::text AS orderid, u.email, o.currency, o."totalCents" / 100.0 AS totalvalue FROM "Order" o JOIN "User" u ON u.id = o."userId" WHERE "paidAt" IS NOT NULL;
CREATE VIEW want_lines AS SELECT i."orderId" AS order_key, p.sku AS id, i.quantity, i."unitPriceCents" / 100.0 AS price FROM "OrderItem" i JOIN "Product" p ON p.id = i."productId";
