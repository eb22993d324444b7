"""What must never happen is refused by the database: final statuses stay final, history is append-only."""

from django.db import migrations

APPEND_ONLY = """
CREATE TRIGGER timeline_append_only BEFORE UPDATE OR DELETE ON executions_timelineentry
  FOR EACH ROW EXECUTE FUNCTION refuse_change();
"""

# WHEN clauses keep the function call off every other update: they are checked without entering PL/pgSQL.
WRITE_ONCE = """
CREATE TRIGGER run_final_stays BEFORE UPDATE ON executions_run FOR EACH ROW
  WHEN (OLD.status IN ('completed', 'failed', 'cancelled')) EXECUTE FUNCTION refuse_change();
CREATE TRIGGER step_final_stays BEFORE UPDATE ON executions_steprun FOR EACH ROW
  WHEN (OLD.status IN ('completed', 'failed', 'skipped', 'cancelled')) EXECUTE FUNCTION refuse_change();
CREATE TRIGGER attempt_closed_stays BEFORE UPDATE ON executions_attempt FOR EACH ROW
  WHEN (OLD.outcome IS NOT NULL) EXECUTE FUNCTION refuse_change();
CREATE TRIGGER effect_decided_stays BEFORE UPDATE ON executions_effect FOR EACH ROW
  WHEN (OLD.status <> 'intent') EXECUTE FUNCTION refuse_change();
"""

UNDO = """
DROP TRIGGER run_final_stays ON executions_run;
DROP TRIGGER step_final_stays ON executions_steprun;
DROP TRIGGER attempt_closed_stays ON executions_attempt;
DROP TRIGGER effect_decided_stays ON executions_effect;
"""


class Migration(migrations.Migration):
    dependencies = [("executions", "0001_initial"), ("access", "0002_functions")]
    operations = [
        migrations.RunSQL(APPEND_ONLY, "DROP TRIGGER timeline_append_only ON executions_timelineentry"),
        migrations.RunSQL(WRITE_ONCE, UNDO),
    ]
