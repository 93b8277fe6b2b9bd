-- Keeps the WAL until syncd has read it, up to max_slot_wal_keep_size. A statement of its
-- own, after the publication; it waits for the transactions that are writing now.

SELECT pg_catalog.pg_create_logical_replication_slot({slot}, 'pgoutput'{failover});
