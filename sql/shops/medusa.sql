-- Medusa 2.21: an order is confirmed when it was placed, that is: when it is there.
-- Drafts are not orders yet; soft-deleted rows (a payment that failed) are none any more.

BEGIN;

-- ADD THIS INDEX, once, before the first start (outside a transaction, so not here):
--
--   CREATE INDEX CONCURRENTLY syncd_order_created_at ON public."order" (created_at)
--    WHERE deleted_at IS NULL AND NOT is_draft_order;
--
-- Why: Medusa indexes no time on "order", and its key is not ascending, so every poll
-- would read the whole table. The index is partial, to be small; the view has the same
-- condition word for word, without which the server cannot use it.
--
-- confirmed_at is the application's clock in milliseconds, taken before the insert.
-- By key: order_pkey.
CREATE OR REPLACE VIEW syncd.confirmed_orders AS
SELECT o.id         AS order_key,
       o.created_at AS confirmed_at
  FROM public."order" AS o
 WHERE o.deleted_at IS NULL
   AND NOT o.is_draft_order;

-- DRAFTS: Medusa turns a draft into an order by an UPDATE that records no time, so its
-- confirmed_at is the draft's creation, perhaps days ago. `poll` finds such an order at
-- reconciliation only. If your staff place orders as drafts, use
-- `capture = "listen"` with `syncd install --listen 'public."order":id'`.

-- Read by key: order_pkey, then the primary keys of address, currency, order_cart and
-- order_line_item, and the shop's indexes on order_summary and order_item (order_id,
-- version) and on order_line_item_tax_line (item_id), all WHERE deleted_at IS NULL.
CREATE OR REPLACE VIEW syncd.purchases AS
SELECT o.id                                                       AS order_key,
       coalesce(nullif(o.custom_display_id, ''),
                o.display_id::text)                               AS orderid,
       nullif(o.email, '')                                        AS email,
       upper(o.currency_code)                                     AS currency,
       t.totalvalue,
       nullif(a.first_name, '')                                   AS firstname,
       nullif(a.last_name, '')                                    AS lastname,
       nullif(a.phone, '')                                        AS phone,
       nullif(a.postal_code, '')                                  AS postcode,
       nullif(a.city, '')                                         AS city,
       nullif(upper(a.country_code), '')                          AS country,
       nullif(o.locale, '')                                       AS language,
       l.products,
       nullif(o.metadata ->> 'gift_note', '')                     AS custom_gift_note,
       o.sales_channel_id                                         AS custom_channel
  FROM public."order" AS o
  -- LEFT, always: an order that lacks something is sent to be rejected with its reason.
  LEFT JOIN public.currency AS m ON m.code = o.currency_code
  -- One address as a whole, never the name of one person with the phone of another.
  LEFT JOIN public.order_address AS a
    ON a.id = coalesce(o.billing_address_id, o.shipping_address_id)
  -- Every edit and cancellation adds a whole set of lines and totals under a new version.
  -- What a cart bought is version 1. An order without a cart was a draft: it was built
  -- by edits (its version 1 may be empty), so its present version is what was bought.
  LEFT JOIN LATERAL (
       SELECT 1 AS version
         FROM public.order_cart AS k
        WHERE k.order_id = o.id
        LIMIT 1
       ) AS cart ON true
  -- The total has no column and is not rounded; the raw_ values are exact. A
  -- cancellation takes a paid amount away as a credit line: added back.
  LEFT JOIN LATERAL (
       SELECT round(CASE
                      WHEN cart.version = 1
                      THEN (s.totals #>> '{raw_original_order_total,value}')::numeric
                      ELSE (s.totals #>> '{raw_current_order_total,value}')::numeric
                         + (s.totals #>> '{raw_credit_line_total,value}')::numeric
                    END, coalesce(m.decimal_digits, 2)) AS totalvalue
         FROM public.order_summary AS s
        WHERE s.order_id = o.id
          AND s.version = coalesce(cart.version, o.version)
          AND s.deleted_at IS NULL
        ORDER BY s.created_at
        LIMIT 1
       ) AS t ON true
  -- price: gross, before discounts; an edit may have changed it on the item.
  LEFT JOIN LATERAL (
       SELECT json_agg(
                json_strip_nulls(json_build_object(
                  'id',       coalesce(nullif(g.variant_sku, ''), g.variant_id),
                  'name',     coalesce(nullif(g.product_title, ''), nullif(g.title, '')),
                  'quantity', i.quantity,
                  'price',    round(coalesce(i.unit_price, g.unit_price) * x.factor,
                                    coalesce(m.decimal_digits, 2)),
                  'language', nullif(o.locale, '')))
                ORDER BY g.created_at, g.id) AS products
         FROM public.order_item AS i
         JOIN public.order_line_item AS g ON g.id = i.item_id
        CROSS JOIN LATERAL (
              SELECT CASE
                       WHEN g.is_tax_inclusive THEN 1
                       ELSE 1 + coalesce(sum(r.rate), 0) / 100
                     END AS factor
                FROM public.order_line_item_tax_line AS r
               WHERE r.item_id = g.id
                 AND r.deleted_at IS NULL
              ) AS x
        WHERE i.order_id = o.id
          AND i.version = coalesce(cart.version, o.version)
          AND i.deleted_at IS NULL
       ) AS l ON true
 WHERE o.deleted_at IS NULL
   AND NOT o.is_draft_order;

-- `syncd install` grants this when the views are there; run it yourself if they came later.
-- GRANT SELECT ON syncd.confirmed_orders, syncd.purchases TO syncd;

COMMIT;
