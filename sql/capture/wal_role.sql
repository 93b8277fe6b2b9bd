-- Lets the daemon's role read a replication slot. It is a strong right: with it a role may
-- read all that the server writes, as far as pg_hba.conf lets it in for replication.

ALTER ROLE {role} REPLICATION;
