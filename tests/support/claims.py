"""The `synchronous_commit` of a claim's transaction, recorded at its commit."""

WATCH_CLAIMS = """
CREATE TABLE seen (durable text);
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
$$BEGIN
    INSERT INTO seen VALUES (current_setting('synchronous_commit'));
    RETURN NULL;
END$$;
CREATE CONSTRAINT TRIGGER see AFTER INSERT ON syncd.attempt
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION see();
"""
CLAIM_WAS_DURABLE = "SELECT durable FROM seen"
"""The `synchronous_commit` of the only claim since WATCH_CLAIMS."""
