-- What is wrong with a feed, kept for `status`.

-- name: raise_alarm :rows
-- Keeps an alarm with its newest reason.
INSERT INTO syncd.alarm (feed_id, alarm, reason)
VALUES (%(feed)s, %(alarm)s, %(reason)s)
    ON CONFLICT ON CONSTRAINT alarm_once DO UPDATE
   SET reason = excluded.reason
 WHERE alarm.reason <> excluded.reason;

-- name: end_alarm :rows
DELETE FROM syncd.alarm
 WHERE feed_id = %(feed)s
   AND alarm = %(alarm)s;

-- name: alarms :many
-- What is wrong now, the oldest first.
SELECT alarm, reason
  FROM syncd.alarm
 WHERE feed_id = %(feed)s
 ORDER BY since;

-- name: recent_admissions :many
-- The newest live orders of the last quarter of an hour: key, stamp, and when the ledger
-- had them. Relies on batch_identity and ledger_batch; reads only the newest batches of
-- all feeds, however long ago they were.
SELECT l.order_key, l.confirmed_at, b.created_at AS seen_at
  FROM (SELECT n.batch_id, n.created_at
          FROM (SELECT r.batch_id, r.created_at, r.feed_id, r.lane, r.attempts
                  FROM syncd.batch AS r
                 ORDER BY r.batch_id DESC
                 LIMIT 20 * %(orders)s) AS n
         WHERE n.feed_id = %(feed)s
           AND n.lane = 'live'
           AND n.attempts <= 1
           AND n.created_at > clock_timestamp() - interval '15 min'
         ORDER BY n.batch_id DESC
         LIMIT %(orders)s) AS b
  JOIN syncd.ledger AS l USING (batch_id)
 WHERE l.capture IN ('poll', 'listen', 'wal', 'reconcile')
 ORDER BY b.batch_id DESC, l.confirmed_at DESC
 LIMIT %(orders)s;
