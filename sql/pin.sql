-- In this transaction each name without a schema is PostgreSQL's own, whatever other
-- objects have that name, and whatever the database's search path.

SET LOCAL search_path = pg_catalog, pg_temp;
