"""Signed webhooks: how a trigger is signed, the secrets, the address before the present one, and bodies that came lately."""

import django.db.models.deletion
from django.db import migrations, models
from django.db.models import F
from django.db.models.functions import Now

import lightfield.kernel.ids

# Where an installation went back to before this release and comes again: what was published signed must not be taken
# unsigned. Its secrets are gone, so that it takes nothing until it has new ones.
SIGNED_AS_PUBLISHED = """
UPDATE triggers_trigger
SET signing = coalesce(nullif(config -> 'signature' ->> 'preset', ''), config -> 'signature' ->> 'scheme')
WHERE kind = 'webhook' AND config -> 'signature' ->> 'scheme' <> 'none'
"""


class Migration(migrations.Migration):
    dependencies = [("triggers", "0009_cheaper_events")]

    operations = [
        migrations.AddField(
            "trigger", "signing", models.CharField(db_default="", default="", editable=False, max_length=40)
        ),
        migrations.AddField(
            "trigger",
            "previous_token_hash",
            models.CharField(editable=False, max_length=64, null=True, unique=True),
        ),
        migrations.AddField("trigger", "previous_token_until", models.DateTimeField(editable=False, null=True)),
        migrations.CreateModel(
            "WebhookSecret",
            [
                (
                    "id",
                    models.UUIDField(
                        default=lightfield.kernel.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("signing", models.CharField(max_length=40)),
                ("ciphertext", models.TextField(editable=False)),
                ("last4", models.CharField(max_length=4)),
                ("created_at", models.DateTimeField(db_default=Now())),
                ("expires_at", models.DateTimeField(null=True)),
                (
                    "trigger",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="webhook_secrets",
                        to="triggers.trigger",
                    ),
                ),
            ],
            options={"ordering": ("-id",)},
        ),
        migrations.CreateModel(
            "RecentBody",
            [
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("body_digest", models.BinaryField(max_length=32)),
                ("event_id", models.UUIDField()),
                ("seen_at", models.DateTimeField(db_default=Now())),
                (
                    "trigger",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="triggers.trigger",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("trigger", "body_digest"), name="recent_body_once")
                ],
                "indexes": [models.Index(F("seen_at"), name="recent_body_age")],
            },
        ),
        migrations.RunSQL(SIGNED_AS_PUBLISHED, migrations.RunSQL.noop),
    ]
