import crm.values
import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.text
import lightfield.kernel.ids
import lightfield.kernel.stored_json
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Account',
            fields=[
                ('id', models.UUIDField(default=lightfield.kernel.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('custom', models.JSONField(blank=True, decoder=lightfield.kernel.stored_json.StoredJSON, default=dict, help_text='Fields of your own, as a JSON object.', validators=[crm.values.json_object])),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('name', models.CharField(max_length=200)),
                ('website', models.URLField(blank=True, max_length=500, null=True)),
                ('industry', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=100), blank=True, default=list, help_text='Separated by commas.', size=50)),
                ('headcount', models.CharField(blank=True, help_text='A range, as 11-50.', max_length=50, null=True)),
                ('last_funding_type', models.CharField(blank=True, max_length=100, null=True)),
                ('linkedin', models.CharField(blank=True, max_length=200, null=True)),
                ('twitter', models.CharField(blank=True, max_length=200, null=True)),
                ('facebook', models.CharField(blank=True, max_length=200, null=True)),
                ('instagram', models.CharField(blank=True, max_length=200, null=True)),
                ('primary_address', models.JSONField(blank=True, decoder=lightfield.kernel.stored_json.StoredJSON, help_text='A JSON object: street, street2, city, state, postal_code, country, latitude, longitude.', null=True, validators=[crm.values.postal_address])),
                ('how_they_make_money', models.TextField(blank=True, max_length=20000, null=True)),
                ('account_status', models.TextField(blank=True, max_length=20000, null=True)),
                ('owner', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ('-id',),
                'abstract': False,
                'indexes': [models.Index(django.db.models.functions.text.Upper('name'), models.F('id'), name='account_by_name')],
                'constraints': [models.UniqueConstraint(django.db.models.functions.text.Upper('website'), name='account_website_once', violation_error_message='Another account has this website.')],
            },
        ),
        migrations.CreateModel(
            name='Contact',
            fields=[
                ('id', models.UUIDField(default=lightfield.kernel.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('custom', models.JSONField(blank=True, decoder=lightfield.kernel.stored_json.StoredJSON, default=dict, help_text='Fields of your own, as a JSON object.', validators=[crm.values.json_object])),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('first_name', models.CharField(blank=True, max_length=100, null=True)),
                ('last_name', models.CharField(blank=True, max_length=100, null=True)),
                ('email', models.EmailField(blank=True, max_length=254, null=True, verbose_name='e-mail')),
                ('title', models.CharField(blank=True, help_text='Of the job.', max_length=200, null=True)),
                ('instagram', models.CharField(blank=True, max_length=200, null=True)),
                ('profile_photo_url', models.URLField(blank=True, max_length=500, null=True, verbose_name='profile photo')),
                ('do_not_contact', models.BooleanField(default=False)),
                ('account', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='contacts', to='crm.account')),
            ],
            options={
                'ordering': ('-id',),
                'abstract': False,
                'constraints': [models.UniqueConstraint(django.db.models.functions.text.Upper('email'), name='contact_email_once', violation_error_message='Another contact has this e-mail address.'), models.CheckConstraint(condition=models.Q(('email__isnull', False), ('first_name__isnull', False), ('last_name__isnull', False), _connector='OR'), name='contact_is_somebody', violation_error_message='A contact needs an e-mail address or a name.')],
            },
        ),
        migrations.CreateModel(
            name='Opportunity',
            fields=[
                ('id', models.UUIDField(default=lightfield.kernel.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('custom', models.JSONField(blank=True, decoder=lightfield.kernel.stored_json.StoredJSON, default=dict, help_text='Fields of your own, as a JSON object.', validators=[crm.values.json_object])),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('name', models.CharField(max_length=200)),
                ('stage', models.CharField(blank=True, max_length=100, null=True)),
                ('pipeline', models.CharField(blank=True, max_length=100, null=True)),
                ('amount', models.DecimalField(blank=True, decimal_places=2, max_digits=15, null=True)),
                ('last_interaction_at', models.DateTimeField(blank=True, null=True)),
                ('opportunity_status', models.TextField(blank=True, max_length=20000, null=True)),
                ('account', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='opportunities', to='crm.account')),
                ('created_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('owner', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('champion', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='championed_opportunities', to='crm.contact')),
                ('evaluator', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='evaluated_opportunities', to='crm.contact')),
            ],
            options={
                'verbose_name_plural': 'opportunities',
                'ordering': ('-id',),
                'abstract': False,
                'indexes': [models.Index(models.F('stage'), models.F('id'), name='opportunity_by_stage')],
            },
        ),
        migrations.CreateModel(
            name='Meeting',
            fields=[
                ('id', models.UUIDField(default=lightfield.kernel.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('custom', models.JSONField(blank=True, decoder=lightfield.kernel.stored_json.StoredJSON, default=dict, help_text='Fields of your own, as a JSON object.', validators=[crm.values.json_object])),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('title', models.CharField(max_length=300)),
                ('start_date', models.DateTimeField()),
                ('end_date', models.DateTimeField()),
                ('description', models.TextField(blank=True, max_length=20000, null=True)),
                ('meeting_url', models.URLField(blank=True, max_length=2000, null=True, verbose_name='address of the call')),
                ('organizer_email', models.EmailField(blank=True, max_length=254, null=True, verbose_name="organizer's e-mail")),
                ('attendee_emails', django.contrib.postgres.fields.ArrayField(base_field=models.EmailField(max_length=254), blank=True, default=list, help_text='Separated by commas.', size=500)),
                ('privacy_setting', models.CharField(choices=[('full', 'Everything'), ('metadata', 'Only that it took place')], default='full', max_length=10)),
                ('transcript', models.TextField(blank=True, max_length=100000, null=True)),
                ('account', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='meetings', to='crm.account')),
                ('contact', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='meetings', to='crm.contact')),
                ('opportunity', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='meetings', to='crm.opportunity')),
            ],
            options={
                'ordering': ('-id',),
                'abstract': False,
                'constraints': [models.CheckConstraint(condition=models.Q(('end_date__gte', models.F('start_date'))), name='meeting_ends_after_its_start', violation_error_message='A meeting does not end before it starts.'), models.CheckConstraint(condition=models.Q(('privacy_setting__in', ['full', 'metadata'])), name='meeting_privacy_known')],
            },
        ),
        migrations.CreateModel(
            name='Task',
            fields=[
                ('id', models.UUIDField(default=lightfield.kernel.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('custom', models.JSONField(blank=True, decoder=lightfield.kernel.stored_json.StoredJSON, default=dict, help_text='Fields of your own, as a JSON object.', validators=[crm.values.json_object])),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('title', models.CharField(max_length=300)),
                ('status', models.CharField(choices=[('todo', 'To do'), ('in_progress', 'In progress'), ('complete', 'Complete'), ('cancelled', 'Cancelled')], default='todo', max_length=20)),
                ('description', models.TextField(blank=True, help_text='Markdown.', max_length=20000, null=True)),
                ('due_at', models.DateTimeField(blank=True, null=True)),
                ('account', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='tasks', to='crm.account')),
                ('assigned_to', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('created_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('opportunity', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='tasks', to='crm.opportunity')),
            ],
            options={
                'ordering': ('-id',),
                'abstract': False,
                'indexes': [models.Index(models.F('status'), models.F('id'), name='task_by_status')],
                'constraints': [models.CheckConstraint(condition=models.Q(('status__in', ['todo', 'in_progress', 'complete', 'cancelled'])), name='task_status_known')],
            },
        ),
        migrations.CreateModel(
            name='Note',
            fields=[
                ('id', models.UUIDField(default=lightfield.kernel.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('custom', models.JSONField(blank=True, decoder=lightfield.kernel.stored_json.StoredJSON, default=dict, help_text='Fields of your own, as a JSON object.', validators=[crm.values.json_object])),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('title', models.CharField(max_length=300)),
                ('content', models.TextField(blank=True, help_text='Markdown.', max_length=100000, null=True)),
                ('account', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='notes', to='crm.account')),
                ('contact', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='notes', to='crm.contact')),
                ('created_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('meeting', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='notes', to='crm.meeting')),
                ('opportunity', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='notes', to='crm.opportunity')),
            ],
            options={
                'ordering': ('-id',),
                'abstract': False,
            },
        ),
    ]
