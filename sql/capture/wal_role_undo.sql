-- Revokes the right to read a replication slot.

ALTER ROLE {role} NOREPLICATION;
