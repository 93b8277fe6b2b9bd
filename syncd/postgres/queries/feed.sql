-- A feed's beginning, its place, and the guard against copies.

-- name: identity :one
-- Which cluster and database this is.
SELECT s.system_identifier AS system, d.oid::bigint AS database
  FROM pg_catalog.pg_control_system() AS s,
       pg_catalog.pg_database AS d
 WHERE d.datname = current_database();

-- name: has_ledger :one
SELECT to_regclass('syncd.migration') IS NOT NULL;

-- name: migrations :many
-- Which migrations the ledger has; fails where there is no ledger.
SELECT version
  FROM syncd.migration
 ORDER BY version;

-- name: find_feed :many
-- The feed, if it was started, and whether it was in these databases.
SELECT f.feed_id, f.started_at,
       (f.system_identifier, f.database_oid::bigint, f.ledger_identifier,
        f.ledger_oid::bigint)
       = (%(system)s, %(database)s, %(ledger_system)s, %(ledger_database)s) AS is_here
  FROM syncd.feed AS f
 WHERE f.feed = %(feed)s;

-- name: feeds :many
-- The names of all that were started in this database.
SELECT f.feed
  FROM syncd.feed AS f
 ORDER BY f.feed;

-- name: feeds_of_view :many
-- The names of those that were started for the orders of a view in some database.
SELECT f.feed
  FROM syncd.feed AS f
 WHERE f.system_identifier = %(system)s
   AND f.database_oid = %(database)s::bigint::oid
   AND f.confirmed_view = %(view)s
 ORDER BY f.feed;

-- name: note_view :rows
-- Notes of which view the feed's orders come from now.
UPDATE syncd.feed
   SET confirmed_view = %(view)s
 WHERE feed_id = %(feed)s
   AND confirmed_view IS DISTINCT FROM %(view)s;

-- name: hosts :many
-- The hosts from which daemons have served a feed.
SELECT DISTINCT split_part(i.host, '/', 1)
  FROM syncd.instance AS i
 WHERE i.feed_id = %(feed)s;

-- name: confirm_move :rows
-- Binds the feed to the database that it is in now. The original went on after the copy
-- was made: what is pending or set aside here it may have sent, and so whatever is
-- captured within a week from now that was confirmed before.
WITH copied AS (
    SELECT f.feed_id
      FROM syncd.feed AS f
     WHERE f.feed = %(feed)s
), doubted AS (
    UPDATE syncd.batch AS b
       SET uncertain_attempts = b.uncertain_attempts + 1,
           state = CASE WHEN %(holds)s THEN 'held' ELSE b.state END
      FROM copied AS c
     WHERE b.feed_id = c.feed_id
       AND b.state = 'pending'
), aside AS (
    UPDATE syncd.ledger AS l
       SET uncertain_attempts = coalesce(l.uncertain_attempts, 0) + 1
      FROM copied AS c
     WHERE l.feed_id = c.feed_id
       AND l.state IN ('rejected', 'withdrawn', 'discarded', 'released')
)
UPDATE syncd.feed
   SET system_identifier = %(system)s,
       database_oid = %(database)s::bigint::oid,
       ledger_identifier = %(ledger_system)s,
       ledger_oid = %(ledger_database)s::bigint::oid,
       timeline = ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)
                   )::bit(32)::integer,
       accepted_at = clock_timestamp(),
       lost_from = least(heartbeat_at, clock_timestamp()) - interval '1 hour',
       lost_until = clock_timestamp(),
       suspect_until = clock_timestamp() + interval '7 days'
 WHERE feed = %(feed)s;

-- name: clone_guard :one
-- A ledger's last mark, its cluster's timeline at that time and now, and since when what
-- a daemon remembers counts; fails on a hot standby.
SELECT s.system_identifier AS system, f.ledger_oid::bigint AS database,
       f.heartbeat_seq AS number, coalesce(f.heartbeat_at, f.started_at) AS at,
       coalesce(f.timeline, t.timeline) AS marked, t.timeline,
       greatest(f.started_at, f.accepted_at) AS superseded_at
  FROM syncd.feed AS f,
       pg_catalog.pg_control_system() AS s,
       (SELECT ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)
               )::bit(32)::integer AS timeline) AS t
 WHERE f.feed_id = %(feed)s;

-- name: knows_host :one
-- Whether a daemon of this host has served the feed before.
SELECT EXISTS (SELECT
                 FROM syncd.instance AS i
                WHERE i.feed_id = %(feed)s
                  AND split_part(i.host, '/', 1) = %(host)s);

-- name: mark_feed :one
-- Makes the next mark; gives what `clone_guard` does then.
UPDATE syncd.feed AS f
   SET heartbeat_seq = f.heartbeat_seq + 1,
       heartbeat_at = clock_timestamp(),
       timeline = t.timeline
  FROM pg_catalog.pg_control_system() AS s,
       (SELECT ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)
               )::bit(32)::integer AS timeline) AS t
 WHERE f.feed_id = %(feed)s
RETURNING s.system_identifier AS system, f.ledger_oid::bigint AS database,
          f.heartbeat_seq AS number, f.heartbeat_at AS at, f.timeline AS marked,
          t.timeline, greatest(f.started_at, f.accepted_at) AS superseded_at;

-- name: note_promotion :many
-- Notes, once, that the cluster has a newer timeline than the feed: what is pending or set
-- aside may have been sent by a claim that was lost, and is counted as uncertain.
WITH moved AS (
    UPDATE syncd.feed AS f
       SET timeline = t.timeline,
           lost_from = clock_timestamp() - interval '1 day',
           lost_until = clock_timestamp(),
           suspect_until = greatest(f.suspect_until,
                                    clock_timestamp() + interval '1 hour')
      FROM (SELECT ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)
                   )::bit(32)::integer AS timeline) AS t
     WHERE f.feed_id = %(feed)s
       AND f.timeline < t.timeline
    RETURNING f.feed_id, f.timeline, f.holds_uncertain
), doubted AS (
    UPDATE syncd.batch AS b
       SET uncertain_attempts = b.uncertain_attempts + 1,
           state = CASE WHEN m.holds_uncertain THEN 'held' ELSE b.state END
      FROM moved AS m
     WHERE b.feed_id = m.feed_id
       AND b.state = 'pending'
    RETURNING b.orders
), aside AS (
    UPDATE syncd.ledger AS l
       SET uncertain_attempts = coalesce(l.uncertain_attempts, 0) + 1
      FROM moved AS m
     WHERE l.feed_id = m.feed_id
       AND l.state IN ('rejected', 'withdrawn', 'discarded', 'released')
)
SELECT m.timeline, (SELECT coalesce(sum(d.orders), 0) FROM doubted AS d) AS orders
  FROM moved AS m;

-- name: keep_failed_start :rows
-- Keeps why a daemon did not start, one reason for each host.
INSERT INTO syncd.failed_start AS s (feed, host, kind, codes, reason, hint)
VALUES (%(feed)s, %(host)s, %(kind)s, %(codes)s, %(reason)s, %(hint)s)
    ON CONFLICT ON CONSTRAINT failed_start_once DO UPDATE
   SET kind = excluded.kind,
       codes = excluded.codes,
       reason = excluded.reason,
       hint = excluded.hint,
       is_over = false,
       failed_at = CASE WHEN s.reason = excluded.reason AND NOT s.is_over
                        THEN s.failed_at ELSE clock_timestamp() END;

-- name: clear_failed_start :rows
UPDATE syncd.failed_start
   SET is_over = true
 WHERE feed = %(feed)s
   AND host = %(host)s
   AND NOT is_over;

-- name: failed_starts :many
-- Hosts whose last start failed.
SELECT kind, host, failed_at AS at, codes, reason, hint
  FROM syncd.failed_start
 WHERE feed = %(feed)s
   AND NOT is_over;

-- name: start_feed :many
-- Starts a feed at "now"; no row when another instance was first.
INSERT INTO syncd.feed
       (feed, started_at, floor_at, system_identifier, database_oid,
        ledger_identifier, ledger_oid, confirmed_view, timeline)
VALUES (%(feed)s, %(started_at)s, %(floor)s, %(system)s, %(database)s::bigint::oid,
        %(ledger_system)s, %(ledger_database)s::bigint::oid, %(view)s,
        ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)
                   )::bit(32)::integer)
    ON CONFLICT (feed) DO NOTHING
RETURNING feed_id;

-- name: start_watermark :none
INSERT INTO syncd.watermark (feed_id, confirmed_at)
VALUES (%(feed)s, %(watermark)s);

-- name: start_endpoint :none
INSERT INTO syncd.endpoint (feed_id)
VALUES (%(feed)s);

-- name: keep_verification :rows
INSERT INTO syncd.verification
       (feed, account, endpoint, payload, accepts_lists, evidence)
VALUES (%(feed)s, %(account)s, %(endpoint)s, %(payload)s, %(accepts_lists)s, %(evidence)s)
    ON CONFLICT ON CONSTRAINT verification_once DO UPDATE
   SET account = excluded.account,
       endpoint = excluded.endpoint,
       payload = excluded.payload,
       accepts_lists = excluded.accepts_lists,
       evidence = excluded.evidence,
       verified_at = clock_timestamp();

-- name: verification :many
-- What is known of an account at an endpoint.
SELECT payload, accepts_lists, evidence, verified_at AS at
  FROM syncd.verification
 WHERE feed = %(feed)s
   AND account = %(account)s
   AND endpoint = %(endpoint)s;
