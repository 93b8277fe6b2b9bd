-- Removes the ledger with all its records: which orders were sent, which were refused.
-- The two views are yours and stay, and with them their schema.

DROP TABLE IF EXISTS
    syncd.identity, syncd.reused_key,
    syncd.left_out,
    syncd.initial_orders,
    syncd.failed_start,
    syncd.alarm,
    syncd.fingerprint,
    syncd.verification, syncd.answer, syncd.order_move, syncd.reconciliation,
    syncd.replication_position,
    syncd.backfill,
    syncd.attempt, syncd.ledger, syncd.batch, syncd.instance, syncd.endpoint,
    syncd.watermark, syncd.feed, syncd.migration;
