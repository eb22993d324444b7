from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("executions", "0003_attempt_witnessed")]

    operations = [
        migrations.AddField(
            model_name="lane",
            name="most_queued",
            field=models.PositiveIntegerField(
                default=16, help_text="Of these, at most so many that no worker has taken yet."
            ),
        ),
    ]
