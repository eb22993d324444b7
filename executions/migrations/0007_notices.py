"""Whom failures are told to, what was sent of them, and which runs count in a row."""

import django.db.models.deletion
import django.db.models.functions.datetime
import lightfield.kernel.ids
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('executions', '0006_live_by_its_end'),
        ('triggers', '0011_inbox'),
        ('workflows', '0004_failure_settings'),
    ]

    operations = [
        migrations.CreateModel(
            name='Notice',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('channel', models.CharField(choices=[('webhook', 'Webhook'), ('email', 'E-mail'), ('streak', 'Failures in a row')], max_length=10)),
                ('at', models.DateTimeField()),
                ('handled_at', models.DateTimeField(null=True)),
            ],
            options={
                'ordering': ('id',),
            },
        ),
        migrations.CreateModel(
            name='NoticeMessage',
            fields=[
                ('id', models.UUIDField(default=lightfield.kernel.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('channel', models.CharField(choices=[('webhook', 'Webhook'), ('email', 'E-mail'), ('streak', 'Failures in a row')], max_length=10)),
                ('kind', models.CharField(choices=[('run.failed', 'Runs failed'), ('workflow.paused', 'Workflow paused')], max_length=20)),
                ('status', models.CharField(choices=[('pending', 'Pending'), ('sent', 'Sent'), ('failed', 'Failed')], default='pending', max_length=10)),
                ('body', models.JSONField(default=dict)),
                ('runs', models.PositiveIntegerField(default=0)),
                ('attempts', models.PositiveSmallIntegerField(default=0)),
                ('fence', models.PositiveIntegerField(default=0)),
                ('due_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('lease_expires_at', models.DateTimeField(null=True)),
                ('error_code', models.CharField(max_length=80, null=True)),
                ('error', models.CharField(blank=True, default='', max_length=500)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('finished_at', models.DateTimeField(null=True)),
            ],
            options={
                'ordering': ('-id',),
            },
        ),
        migrations.CreateModel(
            name='NoticeSecret',
            fields=[
                ('workflow', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='notice_secret', serialize=False, to='workflows.workflow')),
                ('ciphertext', models.TextField()),
                ('last4', models.CharField(max_length=4)),
                ('set_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
        ),
        migrations.AddField(
            model_name='run',
            name='in_streak',
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddIndex(
            model_name='run',
            index=models.Index(models.F('workflow'), models.F('finished_at'), condition=models.Q(('in_streak', True), ('status__in', ['completed', 'failed'])), name='run_streak'),
        ),
        migrations.AddField(
            model_name='notice',
            name='run',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='notices', to='executions.run'),
        ),
        migrations.AddField(
            model_name='notice',
            name='version',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='workflows.workflowversion'),
        ),
        migrations.AddField(
            model_name='notice',
            name='workflow',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='workflows.workflow'),
        ),
        migrations.AddField(
            model_name='noticemessage',
            name='version',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='workflows.workflowversion'),
        ),
        migrations.AddField(
            model_name='noticemessage',
            name='workflow',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='notice_messages', to='workflows.workflow'),
        ),
        migrations.AddField(
            model_name='notice',
            name='message',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='notices', to='executions.noticemessage'),
        ),
        migrations.AddIndex(
            model_name='noticemessage',
            index=models.Index(models.F('due_at'), condition=models.Q(('status', 'pending')), name='message_due'),
        ),
        migrations.AddIndex(
            model_name='noticemessage',
            index=models.Index(models.F('version'), models.F('channel'), models.F('id'), name='message_newest'),
        ),
        migrations.AddConstraint(
            model_name='noticemessage',
            constraint=models.UniqueConstraint(condition=models.Q(('status', 'pending')), fields=('version', 'channel', 'kind'), name='message_pending_once'),
        ),
        migrations.AddConstraint(
            model_name='noticemessage',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('finished_at__isnull', True), ('status', 'pending')), models.Q(models.Q(('status', 'pending'), _negated=True), ('finished_at__isnull', False)), _connector='OR'), name='message_final_has_end'),
        ),
        migrations.AddIndex(
            model_name='notice',
            index=models.Index(models.F('version'), models.F('channel'), models.F('id'), condition=models.Q(('handled_at__isnull', True)), name='notice_open'),
        ),
        migrations.AddConstraint(
            model_name='notice',
            constraint=models.UniqueConstraint(fields=('run', 'channel'), name='notice_once'),
        ),
    ]
