-- The two views for a shop of your own: copy, change the names, apply as a role that may
-- read the tables:  psql -v ON_ERROR_STOP=1 -f my-shop.sql
-- It uses two example tables:
--
--   orders      (id bigint, number text, email text, paid_at timestamptz, currency text,
--                total numeric, first_name text, last_name text, phone text,
--                postcode text, city text, country text, locale text, gift_note text)
--   order_lines (id bigint, order_id bigint, sku text, title text, quantity integer,
--                unit_price numeric)

BEGIN;

-- 1. WHICH orders are confirmed, and since when. Thin: read at every poll.
--
-- confirmed_at must be set once, when the order becomes confirmed, in the transaction that
-- confirms it; a column that every save moves (updated_at) is not it, nor is the creation
-- of an order that is confirmed later. If only a history table has it, list its rows:
-- an order may be listed twice, the first counts. Do not filter on what changes
-- afterwards (a status that becomes "shipped" or "cancelled"): the order would be gone
-- between polls.
--
-- Bare columns: `confirmed_at > X` has to reach an index, and a function, a cast, DISTINCT,
-- GROUP BY or a window hides the column from it. A timestamp WITHOUT time zone needs
-- `AT TIME ZONE 'Europe/Amsterdam'` (the zone it was written in) and an index on exactly
-- that expression.
--
-- The index, once, if there is none (not in a transaction; its WHERE is the view's):
--   CREATE INDEX CONCURRENTLY syncd_orders_paid_at ON public.orders (paid_at)
--    WHERE paid_at IS NOT NULL;
CREATE OR REPLACE VIEW syncd.confirmed_orders AS
SELECT o.id      AS order_key,     -- the primary key in its own type: never cast it
       o.paid_at AS confirmed_at   -- timestamptz
  FROM public.orders AS o
 WHERE o.paid_at IS NOT NULL;

-- 2. WHAT the event of an order contains. Read by key, when it is sent. One row per
-- order; the column names are Squeezely's labels; NULL means: leave it out.
CREATE OR REPLACE VIEW syncd.purchases AS
SELECT o.id                            AS order_key,
       o.number                        AS orderid,      -- as the front end sends it
       nullif(o.email, '')             AS email,        -- NULL is rejected, and seen
       upper(o.currency)               AS currency,     -- ISO 4217
       round(o.total, 2)               AS totalvalue,   -- gross, with shipping
       -- Profile fields: each one sent replaces the customer's value at Squeezely.
       -- Delete the lines that you do not want; the names are fixed.
       nullif(o.first_name, '')        AS firstname,
       nullif(o.last_name, '')         AS lastname,
       nullif(o.phone, '')             AS phone,
       nullif(o.postcode, '')          AS postcode,
       nullif(o.city, '')              AS city,
       nullif(upper(o.country), '')    AS country,      -- ISO 3166-1: NL
       nullif(o.locale, '')            AS language,     -- nl-NL; a shop of one: 'nl-NL'
       -- Lines that may come after the confirmation: NULL means "not yet". Instead of the
       -- next line, where the order has a number of lines, or a total:
       --   CASE WHEN l.lines = o.line_count THEN l.products END AS products,
       --   CASE WHEN abs(l.sum + o.shipping - o.total) < 0.01 THEN l.products END AS products,
       l.products,
       -- Any custom_<name>; create the field in your account first.
       nullif(o.gift_note, '')         AS custom_gift_note
  FROM public.orders AS o
  -- LEFT JOIN LATERAL, not GROUP BY: the key reaches the index on orders (id) and on
  -- order_lines (order_id), and an order without lines is rejected, not hidden.
  LEFT JOIN LATERAL (
       SELECT json_agg(
                json_strip_nulls(json_build_object(
                  'id',       nullif(i.sku, ''),        -- as in catalogue and front end
                  'name',     nullif(i.title, ''),
                  'quantity', i.quantity,
                  'price',    round(i.unit_price, 2),   -- gross, of one
                  'language', nullif(o.locale, '')))
                ORDER BY i.id) AS products,
              count(*)                          AS lines,
              sum(i.quantity * i.unit_price)    AS sum
         FROM public.order_lines AS i
        WHERE i.order_id = o.id
       ) AS l ON true;
-- No WHERE here, unless a row can stop being an order (a soft delete): an order that is
-- gone from both views is withdrawn, not sent.

-- `syncd install` grants this when the views are there; run it yourself if they came later.
-- GRANT SELECT ON syncd.confirmed_orders, syncd.purchases TO syncd;

COMMIT;
