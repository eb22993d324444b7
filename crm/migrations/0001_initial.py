import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.text
import lightfield.kernel.ids
import lightfield.kernel.stored_json
from django.conf import settings
from django.db import migrations, models
import crm.values
