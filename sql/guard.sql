-- Ends here if something in schema syncd belongs to another role than the one that runs
-- this, or a superuser: its owner could make the triggers run anything as that role.

DO $guard$
DECLARE
    foreign_object record;
BEGIN
    FOR foreign_object IN
{untrusted}
    LOOP
        RAISE EXCEPTION 'syncd: % % belongs to %', foreign_object.kind,
            foreign_object.name, foreign_object.owner
            USING HINT = 'Run this as that role, or give it to the role that runs this.';
    END LOOP;
END
$guard$;
