-- Lets the daemon's role read the two views (run again after the views were created).

GRANT USAGE ON SCHEMA {schemas} TO {role};
GRANT SELECT ON {confirmed}, {purchases} TO {role};
