"""A loss counts against a step only if somebody saw it. What was counted before stays counted."""

from django.db import migrations, models

SEEN = """
ALTER TABLE executions_attempt DISABLE TRIGGER attempt_closed_stays;
UPDATE executions_attempt SET witnessed = true WHERE alone AND outcome = 'lost';
ALTER TABLE executions_attempt ENABLE TRIGGER attempt_closed_stays;
"""


class Migration(migrations.Migration):
    dependencies = [("executions", "0002_guards")]
    operations = [
        migrations.AddField(
            model_name="attempt",
            name="witnessed",
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.RunSQL(SEEN, migrations.RunSQL.noop),
    ]
