"""Room for new versions of a row beside the old one, and a vacuum that comes before dead rows are many.

Rows of these tables are changed two to six times in their first seconds and never again. With a third of each page
left free, a change that touches no indexed column needs no new index entries (heap-only tuples); and what died is
cleaned up by the thousand, not by a fifth of a table of millions. Measured: ADR 0012.
"""

from django.db import migrations

TABLES = ("executions_run", "executions_steprun", "executions_attempt", "executions_effect")
SET = """
ALTER TABLE {table} SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 2000,
  autovacuum_analyze_scale_factor = 0.02, autovacuum_analyze_threshold = 2000, autovacuum_vacuum_cost_delay = 1);
"""
RESET = """
ALTER TABLE {table} RESET (fillfactor, autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold,
  autovacuum_analyze_scale_factor, autovacuum_analyze_threshold, autovacuum_vacuum_cost_delay);
"""


class Migration(migrations.Migration):
    dependencies = [("executions", "0004_lane_most_queued")]

    operations = [migrations.RunSQL(SET.format(table=table), RESET.format(table=table)) for table in TABLES]
