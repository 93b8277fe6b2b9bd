-- pretix 2026.8: an order is confirmed when it was paid; a free one when it was placed.
--
-- It reads the log, not the order: an order can be cancelled between two polls, and
-- then its status is no longer `p`. The entry commits with the status, and is never
-- moved.

BEGIN;

-- confirmed_at is the application's clock, taken in the transaction that writes the entry.
-- Index: the shop's own, on pretixbase_logentry (datetime, id); nothing to add.
-- By key: the shop's own, on pretixbase_logentry (object_id), and the order's primary key.
-- Orders of the test mode are left out; deleting one removes it from both views.
CREATE OR REPLACE VIEW syncd.confirmed_orders AS
SELECT e.object_id AS order_key,
       e.datetime  AS confirmed_at
  FROM public.pretixbase_logentry AS e
  JOIN public.pretixbase_order AS o ON o.id = e.object_id
 WHERE e.action_type = 'pretix.event.order.paid'
   AND NOT o.testmode;

-- The log is shared by the whole installation. Where it holds many millions of entries,
-- this index makes a backfill fast:
--
--   CREATE INDEX CONCURRENTLY syncd_paid ON public.pretixbase_logentry (datetime)
--    WHERE action_type = 'pretix.event.order.paid';

-- Read by key: the primary keys of order, event, item and itemvariation, and the shop's
-- indexes on invoiceaddress and orderposition (order_id).
CREATE OR REPLACE VIEW syncd.purchases AS
SELECT o.id                                                       AS order_key,
       upper(v.slug) || '-' || o.code                             AS orderid,
       nullif(o.email, '')                                        AS email,
       upper(v.currency)                                          AS currency,
       round(o.total, 2)                                          AS totalvalue,
       -- A name has parts, by the organizer's scheme; a single one is split at its
       -- first blank.
       coalesce(nullif(a.name_parts ->> 'given_name', ''),
                nullif(split_part(n.name, ' ', 1), ''))           AS firstname,
       coalesce(nullif(a.name_parts ->> 'family_name', ''),
                nullif(btrim(substr(n.name,
                       length(split_part(n.name, ' ', 1)) + 1)), '')) AS lastname,
       nullif(o.phone, '')                                        AS phone,
       nullif(a.zipcode, '')                                      AS postcode,
       nullif(a.city, '')                                         AS city,
       nullif(upper(a.country), '')                               AS country,
       g.language,
       l.products,
       v.slug                                                     AS custom_event
  FROM public.pretixbase_order AS o
  -- LEFT, always: an order that lacks something is sent to be rejected with its reason.
  LEFT JOIN public.pretixbase_event AS v ON v.id = o.event_id
  LEFT JOIN public.pretixbase_invoiceaddress AS a ON a.order_id = o.id
 CROSS JOIN LATERAL (
       SELECT CASE
                WHEN coalesce(a.name_parts ->> 'given_name',
                              a.name_parts ->> 'family_name', '') = ''
                THEN btrim(coalesce(a.name_parts ->> 'full_name',
                                    a.name_parts ->> '_legacy'))
              END AS name
       ) AS n
  -- `de-informal` is German.
 CROSS JOIN LATERAL (
       SELECT nullif(regexp_replace(o.locale, '-(informal|formal|hans|hant)$', ''), '')
              AS language
       ) AS g
  -- One row for each ticket, no quantity: the tickets of an item, a variation and a price
  -- are one line. Names are JSON by language, in a text; fees are in the total only.
  LEFT JOIN LATERAL (
       SELECT json_agg(
                json_strip_nulls(json_build_object(
                  'id',       coalesce(nullif(i.internal_name, ''), 'item-' || i.id)
                              || coalesce('-' || t.variation_id, ''),
                  'name',     concat_ws(' ', w.item, w.variation),
                  'quantity', t.quantity,
                  'price',    round(t.price, 2),
                  'language', g.language))
                ORDER BY t.place) AS products
         FROM (SELECT p.item_id, p.variation_id, p.price,
                      count(*) AS quantity, min(p.positionid) AS place
                 FROM public.pretixbase_orderposition AS p
                WHERE p.order_id = o.id
                  AND NOT p.canceled
                GROUP BY p.item_id, p.variation_id, p.price) AS t
         JOIN public.pretixbase_item AS i ON i.id = t.item_id
         LEFT JOIN public.pretixbase_itemvariation AS q ON q.id = t.variation_id
        CROSS JOIN LATERAL (
              SELECT CASE
                       WHEN i.name LIKE '{"%'
                       THEN coalesce(nullif(i.name::jsonb ->> o.locale, ''),
                                     nullif(i.name::jsonb ->> g.language, ''),
                                     nullif(i.name::jsonb ->> 'en', ''),
                                     (SELECT min(f.value)
                                        FROM jsonb_each_text(i.name::jsonb) AS f
                                       WHERE f.value <> ''))
                       ELSE nullif(i.name, '')
                     END AS item,
                     CASE
                       WHEN q.value LIKE '{"%'
                       THEN coalesce(nullif(q.value::jsonb ->> o.locale, ''),
                                     nullif(q.value::jsonb ->> g.language, ''),
                                     nullif(q.value::jsonb ->> 'en', ''),
                                     (SELECT min(f.value)
                                        FROM jsonb_each_text(q.value::jsonb) AS f
                                       WHERE f.value <> ''))
                       ELSE nullif(q.value, '')
                     END AS variation
              ) AS w
       ) AS l ON true
 WHERE NOT o.testmode;

-- `syncd views apply` and `syncd install` grant this; or run it yourself:
-- GRANT SELECT ON syncd.confirmed_orders, syncd.purchases TO syncd;

COMMIT;
