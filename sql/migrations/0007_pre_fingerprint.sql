-- What the last events looked like, field by field, without their values; and indexes
-- that let `syncd status` look as often as one likes.

-- Of the newest orders that were sent live, a few bytes for each field of their event:
-- a keyed hash over order, field and value, whose key is derived from the API key and is
-- in no database. `key_id` tells whether that key is still the same, `mapping` whether
-- the view is. Which fields an event has is all that can be read here.
CREATE TABLE syncd.fingerprint (
    feed_id   integer     NOT NULL,
    order_key text        NOT NULL COLLATE "C",
    sent_at   timestamptz NOT NULL,
    key_id    bytea       NOT NULL,
    mapping   text        NOT NULL,
    fields    jsonb       NOT NULL,
    CONSTRAINT fingerprint_once PRIMARY KEY (feed_id, order_key),
    CONSTRAINT fingerprint_of_feed FOREIGN KEY (feed_id)
        REFERENCES syncd.feed (feed_id) ON DELETE CASCADE,
    CONSTRAINT fingerprint_of_fields CHECK (jsonb_typeof(fields) = 'object')
);
CREATE INDEX fingerprint_newest ON syncd.fingerprint (feed_id, sent_at);

-- How many orders were delivered lately, and which may have been twice.
CREATE INDEX batch_settled
    ON syncd.batch (feed_id, settled_at) WHERE state = 'delivered';
CREATE INDEX batch_uncertain ON syncd.batch (feed_id) WHERE uncertain > 0;
