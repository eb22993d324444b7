"""Since when a workflow is active, why it was paused, whom a version's failures are told to, and which are limited."""

import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('workflows', '0003_test_versions'),
    ]

    operations = [
        migrations.AddField(
            model_name='workflow',
            name='active_since',
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name='workflow',
            name='paused_reason',
            field=models.CharField(blank=True, db_default='', default='', editable=False, max_length=80),
        ),
        migrations.AddField(
            model_name='workflowversion',
            name='failure_channels',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=10), db_default=models.Value([], django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=10), size=None)), default=list, size=None),
        ),
        migrations.AddIndex(
            model_name='workflowversion',
            index=models.Index(models.F('id'), condition=models.Q(('concurrency__isnull', False)), name='version_limited'),
        ),
    ]
