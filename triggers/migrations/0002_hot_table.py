"""Room beside an event for its one change, and a vacuum that comes in time: see executions 0005."""

from django.db import migrations

SET = """
ALTER TABLE triggers_outboxevent SET (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.01,
  autovacuum_vacuum_threshold = 2000, autovacuum_analyze_scale_factor = 0.02, autovacuum_analyze_threshold = 2000,
  autovacuum_vacuum_cost_delay = 1);
"""
RESET = """
ALTER TABLE triggers_outboxevent RESET (fillfactor, autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold,
  autovacuum_analyze_scale_factor, autovacuum_analyze_threshold, autovacuum_vacuum_cost_delay);
"""


class Migration(migrations.Migration):
    dependencies = [("triggers", "0001_initial")]

    operations = [migrations.RunSQL(SET, RESET)]
