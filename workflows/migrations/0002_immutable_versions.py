"""A published version is immutable in the database too."""

from django.db import migrations

GUARD = """
CREATE TRIGGER version_immutable BEFORE UPDATE OR DELETE ON workflows_workflowversion
  FOR EACH ROW EXECUTE FUNCTION refuse_change();
"""


class Migration(migrations.Migration):
    dependencies = [("workflows", "0001_initial"), ("access", "0002_functions")]
    operations = [
        migrations.RunSQL(GUARD, "DROP TRIGGER version_immutable ON workflows_workflowversion"),
    ]
