-- What is read of the two views. Braces are identifiers of the operator's views.

-- name: columns :many
-- Columns of a view with their types; no row when the view is missing.
SELECT a.attname AS name, t.typname AS type, n.nspname AS schema
  FROM pg_catalog.pg_attribute AS a
  JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
  JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace
 WHERE a.attrelid = to_regclass(%(view)s)
   AND a.attnum > 0
   AND NOT a.attisdropped
 ORDER BY a.attnum;

-- name: read_purchases :many
-- What the events of these orders hold, as JSON; by key only.
SELECT p.order_key::text, to_json(p)::text
  FROM {purchases} AS p
 WHERE p.order_key = ANY(%(keys)s::text[]::{key_type}[]);

-- name: claimed_purchases :many
-- The same for the orders of a claim; nothing is read without one. The names in the
-- claim are unlikely as names of a view without its schema.
SELECT p.order_key::text AS order_key, to_json(p)::text AS purchase
  FROM {purchases} AS p
 WHERE p.order_key = ANY(ARRAY(SELECT o.order_key
                               FROM claimed_orders AS o)::{key_type}[])
   AND EXISTS (SELECT FROM claimed)

-- name: still_confirmed :many
-- Which of these orders are confirmed now.
SELECT DISTINCT c.order_key::text
  FROM {confirmed} AS c
 WHERE c.order_key = ANY(%(keys)s::text[]::{key_type}[]);

-- name: find_order :many
-- An order by its key or by the number that the customer sees; may scan.
SELECT p.order_key::text
  FROM {purchases} AS p
 WHERE p.order_key::text = %(order)s
    OR p.orderid::text = %(order)s
 LIMIT 2;

-- name: find_by_email :many
-- The orders of a person, by the address or its hash; may scan.
SELECT p.order_key::text
  FROM {purchases} AS p
 WHERE lower(p.email::text) = ANY(%(emails)s);

-- name: confirmed_at :one
-- When an order was confirmed first; null when it is not, or at no time that a clock
-- shows.
SELECT min(c.confirmed_at)::timestamptz
  FROM {confirmed} AS c
 WHERE c.order_key = ANY(ARRAY[%(key)s::text]::{key_type}[])
   AND c.confirmed_at >= '0001-01-02'
   AND c.confirmed_at < '9999-01-01';

-- name: count_without_time :one
-- Orders confirmed at no usable time (none, infinity, long before or after us).
SELECT count(*)
  FROM {confirmed} AS c
 WHERE c.confirmed_at IS NULL
    OR c.confirmed_at < '0001-01-02'
    OR c.confirmed_at >= '9999-01-01';

-- name: orders_without_time :many
-- The same orders, each once.
SELECT DISTINCT c.order_key::text COLLATE "C" AS order_key,
       NULL::timestamptz AS confirmed_at
  FROM {confirmed} AS c
 WHERE (c.confirmed_at IS NULL
        OR c.confirmed_at < '0001-01-02'
        OR c.confirmed_at >= '9999-01-01')
   AND c.order_key IS NOT NULL

-- name: bounds :one
-- The oldest and the newest usable time, and now. Relies on an index under confirmed_at.
SELECT (SELECT c.confirmed_at::timestamptz
          FROM {confirmed} AS c
         WHERE c.confirmed_at >= '0001-01-02'
           AND c.confirmed_at < '9999-01-01'
         ORDER BY c.confirmed_at
         LIMIT 1) AS oldest,
       (SELECT c.confirmed_at::timestamptz
          FROM {confirmed} AS c
         WHERE c.confirmed_at >= '0001-01-02'
           AND c.confirmed_at < '9999-01-01'
         ORDER BY c.confirmed_at DESC
         LIMIT 1) AS newest,
       clock_timestamp() AS now;

-- name: confirmed_between :many
-- Orders of a range (lower excluded, upper included), each once. Times that no clock
-- shows (infinity) are left alone. Relies on an index under confirmed_at.
SELECT c.order_key::text COLLATE "C" AS order_key,
       min(c.confirmed_at)::timestamptz AS confirmed_at
  FROM {confirmed} AS c
 WHERE c.confirmed_at > %(lower)s::timestamptz
   AND c.confirmed_at <= %(upper)s::timestamptz
   AND c.confirmed_at < '9999-01-01'
   AND c.order_key IS NOT NULL
 GROUP BY 1

-- name: listed_keys :many
-- Every order that is confirmed at a usable time; one without any is not confirmed yet.
SELECT c.order_key::text COLLATE "C" AS order_key
  FROM {confirmed} AS c
 WHERE c.order_key IS NOT NULL
   AND c.confirmed_at >= '0001-01-02'
   AND c.confirmed_at < '9999-01-01'

-- name: declare_listed :none
-- The same for another database: one snapshot, page by page. Sorted by the bucket in which
-- `keep_initial_orders` keeps a key, so that a page fills few buckets and fills them whole.
DECLARE listed NO SCROLL CURSOR FOR
SELECT c.order_key::text
  FROM {confirmed} AS c
 WHERE c.order_key IS NOT NULL
   AND c.confirmed_at >= '0001-01-02'
   AND c.confirmed_at < '9999-01-01'
 ORDER BY hashtextextended(c.order_key::text COLLATE "C", 0) >> 49;

-- name: fetch_listed :many
FETCH FORWARD 100000 FROM listed;

-- name: close_listed :none
CLOSE listed;

-- name: first_listings :many
-- The first times at which the view lists the orders that an admission is about to write.
-- Relies on the orders' key, by that alone.
WITH listed AS MATERIALIZED (
    SELECT c.order_key::text COLLATE "C" AS order_key, c.confirmed_at
      FROM {confirmed} AS c
     WHERE c.order_key = ANY(ARRAY(SELECT a.order_key
                                     FROM admissible_orders AS a)::{key_type}[])
       AND EXISTS (SELECT FROM admissible_orders)
)
SELECT l.order_key, min(l.confirmed_at)::timestamptz AS confirmed_at
  FROM listed AS l
 WHERE l.confirmed_at >= '0001-01-02'
   AND l.confirmed_at < '9999-01-01'
 GROUP BY l.order_key

-- name: found_with_listings :many
-- The same for orders found, where the ledger is in another database.
WITH admissible_orders AS MATERIALIZED (
    SELECT f.order_key, f.confirmed_at
      FROM ({found}) AS f
), first_listings AS MATERIALIZED (
    {listings}
)
SELECT u.order_key, coalesce(min(u.listed_at), min(u.confirmed_at)) AS confirmed_at
  FROM (SELECT a.order_key, a.confirmed_at, NULL::timestamptz AS listed_at
          FROM admissible_orders AS a
         UNION ALL
        SELECT l.order_key, NULL, l.confirmed_at
          FROM first_listings AS l) AS u
 GROUP BY u.order_key

-- name: confirmed_of :many
-- Those of some orders that are confirmed, with their first time; NULL: no clock shows
-- it. Relies on the orders' key, by that alone.
WITH listed AS MATERIALIZED (
    SELECT c.order_key::text COLLATE "C" AS order_key, c.confirmed_at
      FROM {confirmed} AS c
     WHERE c.order_key = ANY(%(keys)s::text[]::{key_type}[])
)
SELECT l.order_key,
       (min(l.confirmed_at) FILTER (WHERE l.confirmed_at >= '0001-01-02'
                                      AND l.confirmed_at < '9999-01-01'))::timestamptz
           AS confirmed_at
  FROM listed AS l
 GROUP BY l.order_key

-- name: confirmed_touched :many
-- The same for the orders that an admission takes out of the outbox.
WITH listed AS MATERIALIZED (
    SELECT c.order_key::text COLLATE "C" AS order_key, c.confirmed_at
      FROM {confirmed} AS c
     WHERE c.order_key = ANY(ARRAY(SELECT t.order_key FROM taken AS t)::{key_type}[])
)
SELECT l.order_key,
       (min(l.confirmed_at) FILTER (WHERE l.confirmed_at >= '0001-01-02'
                                      AND l.confirmed_at < '9999-01-01'))::timestamptz
           AS confirmed_at
  FROM listed AS l
 GROUP BY l.order_key

-- name: plan_window :one
-- How the server would look for newly confirmed orders.
EXPLAIN (VERBOSE, FORMAT JSON)
SELECT c.order_key, c.confirmed_at
  FROM {confirmed} AS c
 WHERE c.confirmed_at > %(lower)s::timestamptz;

-- name: plan_read :one
-- How the server would read the events of some orders.
EXPLAIN (VERBOSE, FORMAT JSON)
SELECT to_json(p)::text
  FROM {purchases} AS p
 WHERE p.order_key = ANY(%(keys)s::text[]::{key_type}[]);

-- name: plan_touched :one
-- How the server would look whether some orders are confirmed.
EXPLAIN (VERBOSE, FORMAT JSON)
SELECT c.order_key, c.confirmed_at
  FROM {confirmed} AS c
 WHERE c.order_key = ANY(%(keys)s::text[]::{key_type}[]);

-- name: sample_keys :many
-- The orders confirmed last.
SELECT c.order_key::text AS order_key, c.confirmed_at::timestamptz AS confirmed_at
  FROM {confirmed} AS c
 WHERE c.confirmed_at > %(lower)s::timestamptz
   AND c.confirmed_at < '9999-01-01'
 ORDER BY c.confirmed_at DESC
 LIMIT %(limit)s;

-- name: spread_keys :many
-- A few orders after each of some times, up to the last one; each order once.
SELECT n.order_key, min(n.confirmed_at)
  FROM unnest(%(starts)s::timestamptz[]) AS s (moment)
 CROSS JOIN LATERAL (
       SELECT c.order_key::text, c.confirmed_at::timestamptz
         FROM {confirmed} AS c
        WHERE c.confirmed_at > s.moment
          AND c.confirmed_at <= %(upper)s::timestamptz
          AND c.confirmed_at < '9999-01-01'
          AND c.order_key IS NOT NULL
        ORDER BY c.confirmed_at
        LIMIT %(limit)s) AS n
 GROUP BY n.order_key
 ORDER BY 2, 1;

-- name: count_listed :one
-- How many of some orders the view lists within a range; by key only.
WITH listed AS MATERIALIZED (
    SELECT c.order_key::text AS order_key, c.confirmed_at
      FROM {confirmed} AS c
     WHERE c.order_key = ANY(ARRAY(SELECT k.key FROM unnest(%(keys)s::text[])
                             AS k (key))::{key_type}[])
)
SELECT count(DISTINCT l.order_key)
  FROM listed AS l
 WHERE l.confirmed_at > %(lower)s::timestamptz
   AND l.confirmed_at <= %(upper)s::timestamptz;

-- name: listings :many
-- Every time at which the view lists some orders within a range, in no order.
SELECT c.order_key::text AS order_key, c.confirmed_at::timestamptz AS confirmed_at
  FROM {confirmed} AS c
 WHERE c.order_key = ANY(ARRAY(SELECT k.key FROM unnest(%(keys)s::text[])
                         AS k (key))::{key_type}[])
   AND c.confirmed_at > %(lower)s::timestamptz
   AND c.confirmed_at <= %(upper)s::timestamptz
   AND c.confirmed_at < '9999-01-01';

-- name: newest_page :one
-- After which time the newest orders of a range are as many as a page holds; null: all
-- of them are. Relies on an index under confirmed_at.
SELECT (SELECT c.confirmed_at::timestamptz
          FROM {confirmed} AS c
         WHERE c.confirmed_at > %(lower)s::timestamptz
           AND c.confirmed_at <= %(upper)s::timestamptz
           AND c.confirmed_at < '9999-01-01'
           AND c.order_key IS NOT NULL
         ORDER BY c.confirmed_at DESC
        OFFSET %(orders)s
         LIMIT 1);

-- name: oldest_page :one
-- The first time of a range, and the first one that a page of its oldest orders has no
-- room for; null: it holds them all. Relies on an index under confirmed_at.
SELECT min(n.confirmed_at)::timestamptz AS first,
       CASE WHEN count(*) > %(orders)s THEN max(n.confirmed_at)::timestamptz END AS beyond
  FROM (SELECT c.confirmed_at
          FROM {confirmed} AS c
         WHERE c.confirmed_at > %(lower)s::timestamptz
           AND c.confirmed_at <= %(upper)s::timestamptz
           AND c.confirmed_at < '9999-01-01'
           AND c.order_key IS NOT NULL
         ORDER BY c.confirmed_at
         LIMIT %(orders)s + 1) AS n;

-- name: tied_page_end :one
-- The last key of a page of the orders of one instant, after a key; null: it holds all.
SELECT (SELECT c.order_key::text
          FROM {confirmed} AS c
         WHERE c.confirmed_at = %(at)s::timestamptz
           AND (%(after)s::text IS NULL OR c.order_key > %(after)s::text::{key_type})
         ORDER BY c.order_key
        OFFSET %(orders)s - 1
         LIMIT 1);

-- name: confirmed_tied :many
-- Orders of one instant by key (the first excluded, the last included; null: no bound),
-- each once.
SELECT DISTINCT c.order_key::text COLLATE "C" AS order_key,
       %(at)s::timestamptz AS confirmed_at
  FROM {confirmed} AS c
 WHERE c.confirmed_at = %(at)s::timestamptz
   AND (%(after)s::text IS NULL OR c.order_key > %(after)s::text::{key_type})
   AND (%(until)s::text IS NULL OR c.order_key <= %(until)s::text::{key_type})
   AND c.order_key IS NOT NULL

-- name: newest_stamps :many
-- The orders with the newest times, newest first, and the time by which they are shown:
-- now, or up to when a hot standby has come. Relies on an index under confirmed_at.
SELECT c.order_key::text AS order_key, c.confirmed_at::timestamptz AS confirmed_at,
       CASE WHEN pg_is_in_recovery() THEN pg_last_xact_replay_timestamp()
            ELSE clock_timestamp() END AS seen_at
  FROM {confirmed} AS c
 WHERE c.confirmed_at >= '0001-01-02'
   AND c.confirmed_at < '9999-01-01'
   AND c.order_key IS NOT NULL
 ORDER BY c.confirmed_at DESC
 LIMIT %(orders)s;

-- name: highest_keys :many
-- The orders with the highest keys and their first times, by key. Relies on the orders'
-- key, by that alone.
SELECT n.order_key::text AS order_key,
       min(n.confirmed_at)::timestamptz AS confirmed_at
  FROM (SELECT c.order_key, c.confirmed_at
          FROM {confirmed} AS c
         WHERE c.confirmed_at >= '0001-01-02'
           AND c.confirmed_at < '9999-01-01'
           AND c.order_key IS NOT NULL
         ORDER BY c.order_key DESC
         LIMIT %(orders)s) AS n
 GROUP BY n.order_key
 ORDER BY n.order_key;

-- name: zone_offsets :many
-- The zone in which times without one are read, and the one that the database would use,
-- with the offsets from UTC, now, of zones that may be meant.
SELECT z.zone, extract(timezone FROM clock_timestamp())::integer AS own,
       extract(epoch FROM clock_timestamp() AT TIME ZONE z.zone
                          - clock_timestamp() AT TIME ZONE 'UTC')::integer AS "offset"
  FROM unnest(ARRAY['UTC', (SELECT s.reset_val
                              FROM pg_catalog.pg_settings AS s
                             WHERE s.name = 'TimeZone')]
              || %(zones)s::text[]) WITH ORDINALITY AS z (zone, place)
 ORDER BY z.place;

-- name: confirmed_without :many
-- Put in the view's place: some orders have no time, since theirs cannot be read. Their
-- keys are in hexadecimal digits, so that no character of one means anything.
(SELECT v.order_key,
        CASE WHEN encode(convert_to(v.order_key::text, 'UTF8'), 'hex')
                  = ANY({keys}::text[]) THEN NULL
             ELSE v.confirmed_at END AS confirmed_at
   FROM {view} AS v)

-- name: keys_after :many
-- A page of the keys that the view lists, by key; no time is read.
SELECT c.order_key::text
  FROM {confirmed} AS c
 WHERE %(after)s::text IS NULL
    OR c.order_key > %(after)s::text::{key_type}
 ORDER BY c.order_key
 LIMIT %(limit)s;

-- name: read_times :one
-- Reads the time of each of these orders.
SELECT count(c.confirmed_at)
  FROM {confirmed} AS c
 WHERE c.order_key = ANY(ARRAY(SELECT k.key
                                 FROM unnest(%(keys)s::text[]) AS k (key))::{key_type}[]);

-- name: read_span :one
-- Reads key and time of each order of a range.
SELECT count(c.order_key), count(c.confirmed_at)
  FROM {confirmed} AS c
 WHERE c.confirmed_at > %(lower)s::timestamptz
   AND c.confirmed_at <= %(upper)s::timestamptz;

-- name: take_no_writes :none
-- What follows in this transaction changes nothing, whatever the views call.
SET TRANSACTION READ ONLY;
