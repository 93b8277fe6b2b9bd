-- Publishes changes of these tables to syncd through the WAL: no trigger, and of each
-- row only the key and the replica identity (whole rows before PostgreSQL 15, and where
-- a table has REPLICA IDENTITY FULL). The comment has the key column of each table.
-- Never give a table of this publication REPLICA IDENTITY FULL or NOTHING, never drop
-- its primary key, never add a row filter: PostgreSQL would refuse the shop's UPDATEs.
-- If it does:  ALTER PUBLICATION {publication} DROP TABLE <the table>;

DROP PUBLICATION IF EXISTS {publication};
CREATE PUBLICATION {publication}
   FOR TABLE {tables}
  WITH (publish = 'insert, update', publish_via_partition_root = true);
COMMENT ON PUBLICATION {publication} IS {note};
