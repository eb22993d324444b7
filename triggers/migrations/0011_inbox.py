"""The inbox: see `triggers.deliveries`."""

import django.db.models.deletion
import django.db.models.functions.datetime
import lightfield.kernel.ids
import lightfield.kernel.stored_json
from django.db import migrations, models


# Rows come and go at the speed of webhooks and are never changed: dead ones lie at the old end, and a vacuum that comes
# in time keeps the table at its size.
SET = """
ALTER TABLE triggers_delivery SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000,
  autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05,
  autovacuum_analyze_threshold = 2000, autovacuum_vacuum_cost_delay = 1);
"""
RESET = """
ALTER TABLE triggers_delivery RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold,
  autovacuum_vacuum_insert_scale_factor, autovacuum_analyze_scale_factor, autovacuum_analyze_threshold,
  autovacuum_vacuum_cost_delay);
"""


class Migration(migrations.Migration):

    dependencies = [
        ('triggers', '0010_signed_webhooks'),
        ('workflows', '0003_test_versions'),
    ]

    operations = [
        migrations.CreateModel(
            name='Samples',
            fields=[
                ('trigger', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, primary_key=True, related_name='samples', serialize=False, to='triggers.trigger')),
                ('payloads', models.JSONField(decoder=lightfield.kernel.stored_json.StoredJSON)),
                ('left_out', models.SmallIntegerField(default=0)),
                ('taken_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('taken_by', models.CharField(max_length=200)),
            ],
            options={
                'verbose_name_plural': 'samples',
            },
        ),
        migrations.CreateModel(
            name='UnmatchedDay',
            fields=[
                ('day', models.DateField(primary_key=True, serialize=False)),
                ('count', models.BigIntegerField()),
            ],
        ),
        migrations.CreateModel(
            name='Delivery',
            fields=[
                ('id', models.UUIDField(default=lightfield.kernel.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('address', models.CharField(max_length=64)),
                ('headers', models.JSONField(decoder=lightfield.kernel.stored_json.StoredJSON, default=dict)),
                ('digest', models.BinaryField(max_length=32, null=True)),
                ('size', models.BigIntegerField(null=True)),
                ('content_type', models.CharField(max_length=100)),
                ('verdict', models.CharField(max_length=20)),
                ('code', models.CharField(max_length=80, null=True)),
                ('detail', models.JSONField(decoder=lightfield.kernel.stored_json.StoredJSON, default=dict)),
                ('answer', models.SmallIntegerField()),
                ('event_id', models.UUIDField(null=True)),
                ('body', models.JSONField(decoder=lightfield.kernel.stored_json.StoredJSON, null=True)),
                ('count', models.BigIntegerField(db_default=1)),
                ('minute', models.DateTimeField(null=True)),
                ('again_of', models.UUIDField(null=True)),
                ('is_test', models.BooleanField(db_default=False)),
                ('trigger', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='deliveries', to='triggers.trigger')),
                ('workflow', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='deliveries', to='workflows.workflow')),
            ],
            options={
                'verbose_name_plural': 'deliveries',
                'ordering': ('-id',),
                'indexes': [models.Index(models.F('workflow'), models.F('id'), name='delivery_of_workflow'), models.Index(models.F('event_id'), condition=models.Q(('event_id__isnull', False)), name='delivery_of_event'), models.Index(models.F('digest'), condition=models.Q(('digest__isnull', False)), name='delivery_by_digest'), models.Index(models.F('verdict'), models.F('id'), condition=models.Q(('verdict', 'accepted'), _negated=True), name='delivery_not_accepted'), models.Index(models.F('answer'), models.F('id'), condition=models.Q(('answer', 202), _negated=True), name='delivery_not_202'), models.Index(models.F('code'), models.F('id'), condition=models.Q(('code__isnull', False)), name='delivery_by_code')],
                'constraints': [models.UniqueConstraint(condition=models.Q(('minute__isnull', False)), fields=('trigger', 'verdict', 'minute'), name='delivery_minute_once')],
            },
        ),
        migrations.RunSQL(SET, RESET),
    ]
