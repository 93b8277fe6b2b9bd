-- Lets the daemon's role read the two views (run again after the views were created).

GRANT SELECT ON {confirmed}, {purchases} TO {role};
