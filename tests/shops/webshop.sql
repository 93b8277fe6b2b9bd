CREATE TYPE "OrderStatus" AS ENUM ('CART', 'PAID', 'SHIPPED', 'CANCELLED');
CREATE TABLE "Customer" (
    id text PRIMARY KEY,
    email text NOT NULL UNIQUE,
    "firstName" text,
    "lastName" text
);
CREATE TABLE "Product" (
    id text PRIMARY KEY,
    sku text NOT NULL UNIQUE,
    name text NOT NULL
);
CREATE TABLE "Order" (
    id text PRIMARY KEY,
    number integer NOT NULL UNIQUE,
    status "OrderStatus" NOT NULL DEFAULT 'CART',
    currency text NOT NULL DEFAULT 'EUR',
    "totalCents" integer NOT NULL,
    "customerId" text NOT NULL REFERENCES "Customer" (id),
    "createdAt" timestamp(3) NOT NULL DEFAULT now(),
    "paidAt" timestamp(3)
);
CREATE TABLE "OrderItem" (
    id text PRIMARY KEY,
    "orderId" text NOT NULL REFERENCES "Order" (id),
    "productId" text NOT NULL REFERENCES "Product" (id),
    quantity integer NOT NULL,
    "unitPriceCents" integer NOT NULL
);
CREATE INDEX ON "OrderItem" ("orderId");
INSERT INTO "Customer" VALUES
    ('c1', 'anna@example.nl', 'Anna', 'de Vries'),
    ('c2', 'juergen@example.de', 'Jürgen', 'Müller');
INSERT INTO "Product" VALUES ('p1', 'TEA-100', 'Grüner Tee'), ('p2', 'MUG-RED', 'Mug');
INSERT INTO "Order"
SELECT 'o' || n, 1000 + n, CASE WHEN n % 5 = 0 THEN 'CART' ELSE 'PAID' END::"OrderStatus",
       'EUR', 3285, 'c' || 1 + n % 2, now() - n * interval '1 hour',
       CASE WHEN n % 5 > 0 THEN now() - n * interval '1 hour' END
  FROM generate_series(1, 60) AS n;
INSERT INTO "OrderItem"
SELECT 'i' || n || '-' || p, 'o' || n, 'p' || p, p, CASE p WHEN 1 THEN 795 ELSE 1245 END
  FROM generate_series(1, 60) AS n CROSS JOIN generate_series(1, 2) AS p;
ANALYZE;
