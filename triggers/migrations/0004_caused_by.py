from django.db import migrations, models


class Migration(migrations.Migration):
    """What a run led to is found by an index that holds nothing of events without a cause."""

    dependencies = [("triggers", "0003_record_triggers")]

    operations = [
        migrations.AddIndex(
            model_name="outboxevent",
            index=models.Index(
                models.F("caused_by"),
                models.F("id"),
                name="event_caused_by",
                condition=models.Q(("caused_by__isnull", False)),
            ),
        ),
    ]
