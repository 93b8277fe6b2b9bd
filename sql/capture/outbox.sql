-- The outbox: keys of orders that the shop touched, written by syncd's triggers in the
-- shop's own transactions and taken by the daemon. It is in the orders' database.

CREATE SCHEMA IF NOT EXISTS syncd;

-- No number, index or unique key: the shop's writers never wait for each other here, and
-- the daemon reads the whole table, which is nearly empty.
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
-- Allows deleting rows although a publication has all tables.
ALTER TABLE syncd.outbox REPLICA IDENTITY FULL;

-- Counts changes that could not be recorded: a sequence needs no table, and no rollback
-- reverts it.
CREATE SEQUENCE IF NOT EXISTS syncd.outbox_fault;
