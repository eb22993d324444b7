"""Drafts frozen for tests stand beside the published versions."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('workflows', '0002_immutable_versions'),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='workflowversion',
            name='version_number_once',
        ),
        migrations.AddField(
            model_name='workflowversion',
            name='is_test',
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddConstraint(
            model_name='workflowversion',
            constraint=models.UniqueConstraint(condition=models.Q(('is_test', False)), fields=('workflow', 'number'), name='version_number_once'),
        ),
        migrations.AddConstraint(
            model_name='workflowversion',
            constraint=models.UniqueConstraint(condition=models.Q(('is_test', True)), fields=('workflow', 'number', 'checksum'), name='version_test_once'),
        ),
    ]
