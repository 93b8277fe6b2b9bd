-- Reads the keys of the two views, to compare them with a table's; dropped at once. A
-- superuser reads them as the daemon's role: views run functions as their reader.

CREATE FUNCTION pg_temp.syncd_known_keys(keys text[]) RETURNS SETOF text
LANGUAGE sql STABLE {security}
SET search_path = pg_catalog, pg_temp
AS $keys$
SELECT c.order_key::text FROM {confirmed} AS c
 WHERE c.order_key = ANY(keys::{key_type}[])
 UNION
SELECT p.order_key::text FROM {purchases} AS p
 WHERE p.order_key = ANY(keys::{key_type}[])
$keys$;

CREATE FUNCTION pg_temp.syncd_newest_keys() RETURNS SETOF text
LANGUAGE sql STABLE {security}
SET search_path = pg_catalog, pg_temp
AS $keys$
SELECT c.order_key::text FROM {confirmed} AS c
 WHERE c.order_key IS NOT NULL
   AND c.confirmed_at > now() - interval '30 days'
 ORDER BY c.confirmed_at DESC
 LIMIT 200
$keys$;
