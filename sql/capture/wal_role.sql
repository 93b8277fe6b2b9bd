-- Lets the daemon's role read a replication slot. It is a strong right: with it a role
-- may read the server's whole WAL, where pg_hba.conf admits it for replication.

ALTER ROLE {role} REPLICATION;
