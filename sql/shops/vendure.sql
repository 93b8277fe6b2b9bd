-- Vendure 3.7: an order is confirmed when it was placed, paid or only authorised.
--
-- A cart is a row of "order" from its first item on; placing it sets "orderPlacedAt" once.
-- Nothing else only increases: ids are as old as the cart, "updatedAt" can go back.
--
-- YOURS TO CHANGE: the custom field of the gift note, in `purchases`.

BEGIN;

-- confirmed_at is the clock of Vendure's own process, in ITS time zone, without an
-- offset: set source.time_zone to the TZ that the process runs with (most servers:
-- "UTC"). Index: the shop's own, on "order" ("orderPlacedAt"); nothing to add. By key:
-- the primary key of "order". Of an order that was split among sellers, only the whole
-- one is an order of a customer.
CREATE OR REPLACE VIEW syncd.confirmed_orders AS
SELECT o.id              AS order_key,
       o."orderPlacedAt" AS confirmed_at
  FROM public."order" AS o
 WHERE o."orderPlacedAt" IS NOT NULL
   AND o.type <> 'Seller';

-- Read by key: the primary keys of order, customer, channel and product_variant, and the
-- shop's indexes on order_line, payment and order_channels_channel ("orderId") and on
-- product_variant_translation ("baseId").
CREATE OR REPLACE VIEW syncd.purchases AS
SELECT o.id                                                       AS order_key,
       o.code                                                     AS orderid,
       nullif(c."emailAddress", '')                               AS email,
       upper(o."currencyCode")                                    AS currency,
       -- Two decimals are implied for every currency. A cancellation sets the totals to 0:
       -- what was paid, or authorised, is what was bought.
       round(CASE
               WHEN o.state = 'Cancelled'
                AND o."subTotalWithTax" + o."shippingWithTax" = 0
               THEN p.amount
               ELSE o."subTotalWithTax" + o."shippingWithTax"
             END / 100.0, 2)                                      AS totalvalue,
       nullif(split_part(n.name, ' ', 1), '')                     AS firstname,
       nullif(btrim(substr(n.name,
                           length(split_part(n.name, ' ', 1)) + 1)), '') AS lastname,
       nullif(a.address ->> 'phoneNumber', '')                    AS phone,
       nullif(a.address ->> 'postalCode', '')                     AS postcode,
       nullif(a.address ->> 'city', '')                           AS city,
       nullif(upper(a.address ->> 'countryCode'), '')             AS country,
       h.language,
       l.products,
       -- A custom field `giftnote`; a shop without one has NULL here.
       nullif(to_jsonb(o) ->> 'customFieldsGiftnote', '')         AS custom_gift_note,
       nullif(o."couponCodes", '')                                AS custom_coupon
  FROM public."order" AS o
  -- LEFT, always: an order that lacks something is sent to be rejected with its reason.
  LEFT JOIN public.customer AS c ON c.id = o."customerId"
  -- One address as a whole, never the name of one person with the phone of another.
 CROSS JOIN LATERAL (
       SELECT CASE
                WHEN o."billingAddress" LIKE '{"%' THEN o."billingAddress"::jsonb
                WHEN o."shippingAddress" LIKE '{"%' THEN o."shippingAddress"::jsonb
              END AS address
       ) AS a
 CROSS JOIN LATERAL (SELECT btrim(a.address ->> 'fullName') AS name) AS n
  -- The order has no language; its channel has. Each is in the default channel as well.
  LEFT JOIN LATERAL (
       SELECT nullif(k."defaultLanguageCode", '') AS language
         FROM public.order_channels_channel AS j
         JOIN public.channel AS k ON k.id = j."channelId"
        WHERE j."orderId" = o.id
        ORDER BY k.code = '__default_channel__', k.id
        LIMIT 1
       ) AS h ON true
  LEFT JOIN LATERAL (
       SELECT sum(y.amount) AS amount
         FROM public.payment AS y
        WHERE y."orderId" = o.id
          AND y.state NOT IN ('Created', 'Declined', 'Error')
       ) AS p ON true
  -- price: gross, of one, before discounts; rounded to whole cents as Vendure does.
  LEFT JOIN LATERAL (
       SELECT json_agg(
                json_strip_nulls(json_build_object(
                  'id',       coalesce(nullif(v.sku, ''), i."productVariantId"::text),
                  'name',     t.name,
                  'quantity', i."orderPlacedQuantity",
                  'price',    round(round(i."listPrice" * x.factor) / 100, 2),
                  'language', h.language))
                ORDER BY i.id) AS products
         FROM public.order_line AS i
         LEFT JOIN public.product_variant AS v ON v.id = i."productVariantId"
         LEFT JOIN LATERAL (
              SELECT nullif(w.name, '') AS name
                FROM public.product_variant_translation AS w
               WHERE w."baseId" = i."productVariantId"
               ORDER BY w."languageCode" = h.language DESC, w.id
               LIMIT 1
              ) AS t ON true
        CROSS JOIN LATERAL (
              SELECT CASE
                       WHEN i."listPriceIncludesTax" THEN 1
                       ELSE 1 + coalesce(sum((r.tax ->> 'taxRate')::numeric), 0) / 100
                     END AS factor
                FROM jsonb_array_elements(i."taxLines"::jsonb) AS r (tax)
              ) AS x
        WHERE i."orderId" = o.id
          AND i."orderPlacedQuantity" > 0
       ) AS l ON true;

-- `syncd views apply` and `syncd install` grant this; or run it yourself:
-- GRANT SELECT ON syncd.confirmed_orders, syncd.purchases TO syncd;

COMMIT;
