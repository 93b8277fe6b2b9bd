-- What the daemon's role may do: read the two views, write the ledger, nothing else.
-- `syncd install` runs this with the names of your configuration.
-- It may delete bookkeeping rows (old results of `reconcile`, fingerprints, ended
-- daemons, batches beyond `ledger.retention` and the like), never an order; it owns
-- nothing, and reads no table of the shop.

GRANT USAGE ON SCHEMA syncd TO {role};
GRANT SELECT, INSERT, UPDATE
   ON syncd.feed, syncd.initial_orders, syncd.watermark, syncd.endpoint, syncd.instance,
      syncd.batch, syncd.attempt, syncd.ledger, syncd.backfill,
      syncd.replication_position, syncd.reconciliation, syncd.order_move,
      syncd.verification, syncd.answer, syncd.fingerprint, syncd.left_out,
      syncd.failed_start, syncd.alarm, syncd.identity,
      syncd.reused_key
   TO {role};
GRANT DELETE ON syncd.reconciliation, syncd.fingerprint, syncd.batch, syncd.left_out,
      syncd.instance, syncd.alarm, syncd.reused_key
   TO {role};
GRANT USAGE ON SEQUENCE syncd.batch_batch_id_seq TO {role};
GRANT SELECT ON syncd.migration TO {role};
