"""Database functions that every app's tables build on, and the append-only audit trail."""

from django.db import migrations

UUID_V7 = """
-- RFC 9562 section 5.7: 48 bits of Unix milliseconds, version 7, variant 2, 74 random bits.
CREATE FUNCTION uuid_v7() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
  SELECT encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
           PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
           FROM 1 FOR 6), 52, 1), 53, 1), 'hex')::uuid
$$;
"""

LOST_RACE = """
-- The last line of a guarded statement: a guard that did not match undoes the whole statement.
CREATE FUNCTION lost_race() RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  RAISE EXCEPTION 'lost race' USING ERRCODE = 'LF001';
END
$$;
"""

REFUSE_CHANGE = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% rows are never changed or deleted', TG_TABLE_NAME USING ERRCODE = 'LF002';
END
$$;
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON access_auditentry
  FOR EACH ROW EXECUTE FUNCTION refuse_change();
"""


class Migration(migrations.Migration):
    dependencies = [("access", "0001_initial")]
    operations = [
        migrations.RunSQL(UUID_V7, "DROP FUNCTION uuid_v7()"),
        migrations.RunSQL(LOST_RACE, "DROP FUNCTION lost_race()"),
        migrations.RunSQL(REFUSE_CHANGE, "DROP FUNCTION refuse_change() CASCADE"),
    ]
