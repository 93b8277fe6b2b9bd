-- In this transaction each name without a schema is PostgreSQL's own, whatever somebody
-- else made under that name, and whatever search path the database has.

SET LOCAL search_path = pg_catalog, pg_temp;
