"""Notes of writes that passed Django by can be folded: how many statements, and until when."""

import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('triggers', '0006_ticks'),
    ]

    operations = [
        migrations.AddField(
            model_name='uncapturedwrite',
            name='statements',
            field=models.BigIntegerField(db_default=1),
        ),
        migrations.AddField(
            model_name='uncapturedwrite',
            name='last_at',
            field=models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
        ),
    ]
