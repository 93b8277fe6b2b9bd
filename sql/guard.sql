-- Fails if an object in schema syncd belongs neither to the installing role nor to a
-- superuser: its owner could make the triggers run anything as the installing role.

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
