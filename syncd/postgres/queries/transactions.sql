-- What writes to the orders now, and what a standby shows.

-- name: clock :one
-- The upper end of a window, before `running` is read; on a hot standby also the time
-- of what was replayed last; and whether the server allows prepared transactions (it
-- does not start without while there are any).
SELECT clock_timestamp() AS now, pg_is_in_recovery() AS is_standby,
       CASE WHEN pg_is_in_recovery()
            THEN coalesce(pg_last_xact_replay_timestamp(), 'epoch') END AS replayed_at,
       current_setting('max_prepared_transactions') <> '0' AS prepares;

-- name: written :one
-- How far the primary has written. Read after transactions have ended, it is after
-- their commits, including asynchronous ones; fails on a server that is no primary.
-- Where the next record would begin after a page's header (24 bytes, a segment's first:
-- 40), the end of the last record is before it, and a standby would not get any
-- further.
SELECT (i.lsn - CASE WHEN mod(i.lsn - '0/0', i.segment) = 40 THEN 40
                     WHEN mod(i.lsn - '0/0', i.page) = 24
                      AND mod(i.lsn - '0/0', i.segment) <> 24 THEN 24
                     ELSE 0 END)::text
  FROM (SELECT pg_current_wal_insert_lsn() AS lsn,
               current_setting('wal_block_size')::numeric AS page,
               pg_size_bytes(current_setting('wal_segment_size'))::numeric AS segment)
       AS i;

-- name: has_replayed :one
-- Whether a hot standby shows everything up to a position of its primary's.
SELECT pg_is_in_recovery()
       AND pg_last_wal_replay_lsn() >= %(position)s::pg_lsn;

-- name: running :many
-- Transactions that run now, without one's own; other databases' are left out.
SELECT l.virtualxid
  FROM pg_catalog.pg_locks AS l
  LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid
 WHERE l.locktype = 'virtualxid'
   AND l.mode = 'ExclusiveLock'
   AND l.pid <> pg_backend_pid()
   AND (a.datid IS NULL
        OR a.datid = (SELECT oid FROM pg_catalog.pg_database
                       WHERE datname = current_database()));

-- name: prepared :many
-- Prepared transactions of this database.
SELECT transaction::text
  FROM pg_catalog.pg_prepared_xacts
 WHERE database = current_database();

-- name: holders :many
-- The oldest transactions, first those whose age is not shown: of sessions (details need
-- pg_read_all_stats), and prepared ones, which have a name instead of a session.
SELECT a.pid, a.application_name, a.xact_start, a.query_start
  FROM pg_catalog.pg_stat_activity AS a
  JOIN pg_catalog.pg_locks AS l ON l.pid = a.pid
 WHERE l.locktype = 'virtualxid'
   AND l.mode = 'ExclusiveLock'
   AND a.pid <> pg_backend_pid()
   AND a.datname = current_database()
 UNION ALL
SELECT NULL, 'prepared transaction ' || p.gid, p.prepared, NULL
  FROM pg_catalog.pg_prepared_xacts AS p
 WHERE p.database = current_database()
 ORDER BY 3 NULLS FIRST
 LIMIT 3;
