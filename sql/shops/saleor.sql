-- Saleor 3.24: an order is confirmed when it is fully charged.
--
-- Two event types record it: `order_fully_paid` (a gateway or app charged it) and
-- `order_marked_as_paid` (staff did). Not `confirmed`: that one depends on the channel's
-- settings, can occur twice, and occurs for unpaid orders.

BEGIN;

-- Why the event and not the order: `charge_status` shows that it is paid, not since
-- when; `updated_at` changes with every save (but not with a bulk update); a refund
-- resets charge_status to partial or none, and the order is still a purchase. An order
-- can be listed twice (charged in parts, overcharged): the first counts. Staff's event
-- commits with the charge; a gateway's may follow it in a transaction of its own, so
-- the order is found a moment after it was charged. Index: the shop's own,
-- order_orderevent_date_idx (date); nothing to add. By key: the shop's own, on
-- order_orderevent (order_id).
CREATE OR REPLACE VIEW syncd.confirmed_orders AS
SELECT e.order_id AS order_key,
       e.date     AS confirmed_at
  FROM public.order_orderevent AS e
 WHERE e.type IN ('order_fully_paid', 'order_marked_as_paid');

-- A crash between charge and event leaves an order paid and without its event:
--
--   SELECT o.number FROM public.order_order AS o
--    WHERE o.charge_status IN ('full', 'overcharged')
--      AND NOT EXISTS (SELECT FROM syncd.confirmed_orders AS c WHERE c.order_key = o.id);

-- Read by key: order_order's primary key, then the primary keys of channel and address
-- and the shop's index on order_orderline (order_id).
CREATE OR REPLACE VIEW syncd.purchases AS
SELECT o.id                                                       AS order_key,
       o.number::text                                             AS orderid,
       nullif(o.user_email, '')                                   AS email,
       upper(o.currency)                                          AS currency,
       round(o.total_gross_amount, m.digits)                      AS totalvalue,
       nullif(a.first_name, '')                                   AS firstname,
       nullif(a.last_name, '')                                    AS lastname,
       nullif(a.phone, '')                                        AS phone,
       nullif(a.postal_code, '')                                  AS postcode,
       nullif(a.city, '')                                         AS city,
       nullif(upper(a.country), '')                               AS country,
       nullif(o.language_code, '')                                AS language,
       l.products,
       nullif(o.metadata ->> 'gift_note', '')                     AS custom_gift_note,
       h.slug                                                     AS custom_channel,
       nullif(o.voucher_code, '')                                 AS custom_coupon
  FROM public.order_order AS o
  -- Amounts are numeric(20,3) for every currency.
 CROSS JOIN LATERAL (
       SELECT CASE
                WHEN o.currency IN ('BIF', 'CLP', 'DJF', 'GNF', 'ISK', 'JPY', 'KMF', 'KRW',
                                    'PYG', 'RWF', 'UGX', 'VND', 'VUV', 'XAF', 'XOF', 'XPF')
                THEN 0
                WHEN o.currency IN ('BHD', 'IQD', 'JOD', 'KWD', 'LYD', 'OMR', 'TND')
                THEN 3
                ELSE 2
              END AS digits
       ) AS m
  -- LEFT, always: an order that lacks something is sent to be rejected with its reason.
  LEFT JOIN public.channel_channel AS h ON h.id = o.channel_id
  -- One address as a whole, never the name of one person with the phone of another.
  LEFT JOIN public.account_address AS a
    ON a.id = coalesce(o.billing_address_id, o.shipping_address_id)
  LEFT JOIN LATERAL (
       SELECT json_agg(
                json_strip_nulls(json_build_object(
                  -- Without a SKU: the global id, which storefronts use and which stays
                  -- when the variant is deleted.
                  'id',       coalesce(nullif(i.product_sku, ''),
                                       nullif(i.product_variant_id, ''),
                                       i.variant_id::text),
                  'name',     coalesce(nullif(i.translated_product_name, ''),
                                       nullif(i.product_name, '')),
                  'quantity', i.quantity,
                  'price',    round(i.unit_price_gross_amount, m.digits),
                  'language', nullif(o.language_code, '')))
                ORDER BY i.created_at, i.id) AS products
         FROM public.order_orderline AS i
        WHERE i.order_id = o.id
       ) AS l ON true;

-- `syncd install` grants this when the views are there; run it yourself if they came later.
-- GRANT SELECT ON syncd.confirmed_orders, syncd.purchases TO syncd;

COMMIT;
