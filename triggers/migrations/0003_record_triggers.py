"""Who watches an entity is found by an index; writes that passed Django by have a table."""

from django.db import migrations, models
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Now


class Migration(migrations.Migration):
    dependencies = [("triggers", "0002_hot_table")]

    operations = [
        migrations.CreateModel(
            name="UncapturedWrite",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("entity", models.CharField(max_length=100)),
                ("operation", models.CharField(max_length=10)),
                ("rows", models.BigIntegerField()),
                ("at", models.DateTimeField(db_default=Now())),
            ],
        ),
        migrations.AddIndex(
            model_name="trigger",
            index=models.Index(
                KeyTextTransform("entity", "config"),
                condition=models.Q(kind="record"),
                name="trigger_of_entity",
            ),
        ),
    ]
