-- What `syncd verify` learned of an account; by the feed's name, since an account may be
-- tried before the feed is started.

CREATE TABLE syncd.verification (
    feed        text        NOT NULL,
    account     text        NOT NULL,
    endpoint    text        NOT NULL,
    body        text        NOT NULL,
    takes_lists boolean,
    said_by     text        NOT NULL,
    verified_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT verification_once PRIMARY KEY (feed),
    CONSTRAINT verification_body_known CHECK (body IN ('events', 'single')),
    CONSTRAINT verification_said_by_known CHECK (said_by IN ('answer', 'person')),
    CONSTRAINT verification_of_a_list CHECK (body = 'events' OR takes_lists IS NULL)
);
