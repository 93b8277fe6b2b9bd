-- The outbox: keys of orders that the shop touched, written by syncd's triggers in the
-- shop's own transactions and taken out by the daemon. It lies beside the orders.

CREATE SCHEMA IF NOT EXISTS syncd;

-- No number, index or unique key: the shop's writers never wait for each other here, and
-- the daemon reads the table whole, which is nearly empty.
CREATE TABLE syncd.outbox (
    feed      text NOT NULL,
    order_key text NOT NULL
) WITH (
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_insert_threshold = -1,
    autovacuum_vacuum_cost_delay = 0,
    vacuum_truncate = off  -- it would lock the shop's writers out for a moment
);
-- So that rows may be deleted although somebody publishes all tables.
ALTER TABLE syncd.outbox REPLICA IDENTITY FULL;

-- Counts changes that could not be noted: drawing a number needs no table, and no
-- rollback takes it back.
CREATE SEQUENCE IF NOT EXISTS syncd.outbox_fault;
