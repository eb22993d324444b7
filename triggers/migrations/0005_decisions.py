"""Why did it (not) fire? See `triggers.decisions`."""

import django.db.models.deletion
import lightfield.kernel.ids
import lightfield.kernel.stored_json
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('triggers', '0004_caused_by'),
    ]

    operations = [
        migrations.CreateModel(
            name='Decision',
            fields=[
                ('id', models.UUIDField(default=lightfield.kernel.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('at', models.DateTimeField()),
                ('verdict', models.CharField(max_length=20)),
                ('subject', models.CharField(blank=True, max_length=200)),
                ('detail', models.JSONField(decoder=lightfield.kernel.stored_json.StoredJSON, default=dict)),
                ('count', models.PositiveBigIntegerField(default=1)),
                ('trigger', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='decisions', to='triggers.trigger')),
            ],
            options={
                'ordering': ('-id',),
                'indexes': [models.Index(models.F('trigger'), models.F('id'), name='decision_of_trigger')],
            },
        ),
        migrations.CreateModel(
            name='DecisionCount',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('verdict', models.CharField(max_length=20)),
                ('count', models.PositiveBigIntegerField()),
                ('last_at', models.DateTimeField()),
                ('trigger', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='decision_counts', to='triggers.trigger')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('trigger', 'verdict'), name='decision_count_once')],
            },
        ),
    ]
