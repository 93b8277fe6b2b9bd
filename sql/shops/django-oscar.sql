-- django-oscar 4.2: an order is confirmed when its status became 'Being processed'.
--
-- It reads the history, not the order: an order can become 'Complete' or 'Cancelled'
-- between two polls, and is still a purchase.
--
-- YOURS TO CHANGE: the status (Oscar ships no pipeline, its name is your setting) and
-- the language 'nl' (Oscar stores none).

BEGIN;

-- confirmed_at is the application's clock, taken in the transaction that writes the row.
-- Index: the shop's own, on order_orderstatuschange (date_created); nothing to add.
-- By key: the shop's own, on order_orderstatuschange (order_id).
CREATE OR REPLACE VIEW syncd.confirmed_orders AS
SELECT c.order_id     AS order_key,
       c.date_created AS confirmed_at
  FROM public.order_orderstatuschange AS c
 WHERE c.new_status = 'Being processed';

-- Only set_status() writes history. This finds what .save(), a bulk update or
-- OSCAR_INITIAL_ORDER_STATUS confirmed without it:
--
--   SELECT o.number FROM public.order_order AS o
--    WHERE o.status IN ('Being processed', 'Complete')
--      AND NOT EXISTS (SELECT FROM syncd.confirmed_orders AS c WHERE c.order_key = o.id);
--
-- If it finds any, append this to the view. date_placed is then the only time there is
-- (indexed by Oscar), and it is older than the confirmation, so `poll` finds such an order
-- at reconciliation only; `capture = "listen"` on public.order_order:id finds it at once.
--
--   UNION ALL
--   SELECT o.id, o.date_placed
--     FROM public.order_order AS o
--    WHERE o.status IN ('Being processed', 'Complete')
--      AND NOT EXISTS (SELECT
--                        FROM public.order_orderstatuschange AS c
--                       WHERE c.order_id = o.id
--                         AND c.new_status = 'Being processed')

-- Read by key: order_order_pkey, then the primary keys of user and addresses and the
-- shop's indexes on order_line (order_id) and order_orderdiscount (order_id).
CREATE OR REPLACE VIEW syncd.purchases AS
SELECT o.id                                                       AS order_key,
       o.number                                                   AS orderid,
       coalesce(nullif(u.email, ''), nullif(o.guest_email, ''))   AS email,
       upper(o.currency)                                          AS currency,
       o.total_incl_tax                                           AS totalvalue,
       -- Oscar's address columns are never null, so these never mix two addresses.
       nullif(coalesce(b.first_name, s.first_name), '')           AS firstname,
       nullif(coalesce(b.last_name, s.last_name), '')             AS lastname,
       nullif(s.phone_number, '')                                 AS phone,
       nullif(coalesce(b.postcode, s.postcode), '')               AS postcode,
       nullif(coalesce(b.line4, s.line4), '')                     AS city,
       upper(coalesce(b.country_id, s.country_id))                AS country,
       'nl'                                                       AS language,
       l.products,
       nullif(o.shipping_method, '')                              AS custom_shipping,
       d.codes                                                    AS custom_coupon
  FROM public.order_order AS o
  -- LEFT, always: an order that lacks something is sent to be rejected with its reason.
  LEFT JOIN public.auth_user AS u ON u.id = o.user_id
  LEFT JOIN public.order_billingaddress AS b ON b.id = o.billing_address_id
  LEFT JOIN public.order_shippingaddress AS s ON s.id = o.shipping_address_id
  LEFT JOIN LATERAL (
       SELECT json_agg(
                json_strip_nulls(json_build_object(
                  'id',       coalesce(nullif(i.partner_sku, ''), i.product_id::text),
                  'name',     nullif(i.title, ''),
                  'quantity', i.quantity,
                  'price',    i.unit_price_incl_tax,
                  'language', 'nl'))
                ORDER BY i.id) AS products
         FROM public.order_line AS i
        WHERE i.order_id = o.id
       ) AS l ON true
  LEFT JOIN LATERAL (
       SELECT string_agg(DISTINCT v.voucher_code, ',') AS codes
         FROM public.order_orderdiscount AS v
        WHERE v.order_id = o.id
          AND v.voucher_code <> ''
       ) AS d ON true;

-- `syncd install` grants this when the views are there; run it yourself if they came later.
-- GRANT SELECT ON syncd.confirmed_orders, syncd.purchases TO syncd;

COMMIT;
