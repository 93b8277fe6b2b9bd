-- Lets the daemon's role take rows from the outbox.

GRANT USAGE ON SCHEMA syncd TO {role};
GRANT SELECT, DELETE ON syncd.outbox TO {role};
GRANT SELECT ON SEQUENCE syncd.outbox_fault TO {role};
