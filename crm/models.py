"""The records: whom one deals with, what may come of it, what was said, and what is to be done.

Plain Django models. None overrides `save()` or brings a manager of its own: workflows watch records, and a change must
be seen whichever way of the ORM makes it.

* Deleting a record deletes no other: what referred to it stays and refers to nothing (SET_NULL). A note keeps its
  worth when its account is gone, a deal its figures; nobody loses work because somebody tidied up elsewhere. The same
  holds for people who leave. That is also why every reference may be null, those to an account included: a deal comes
  in by a webhook before anybody knows the company.
* What is not known is null, texts included, so that there is one kind of empty. Lists and `custom` are empty instead.
* Choices that teams make for themselves (stages, industries) are text; those the software knows are enumerations.
"""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Upper

from crm.email_address import EmailAddressField
from crm.values import json_object, postal_address
from lightfield.kernel.ids import uuid7
from lightfield.kernel.stored_json import StoredJSON
from triggers.records import watchable

PARAGRAPHS = 20_000  # characters of a description
PAGES = 100_000  # of a note or a transcript: two hours of talk; before and after fit into one event


class Record(models.Model):
    """What all of them have."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    custom = models.JSONField(
        default=dict,
        blank=True,
        decoder=StoredJSON,
        validators=[json_object],
        help_text="Fields of your own, as a JSON object.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        abstract = True
        ordering = ("-id",)


class Authored(Record):
    """Records that somebody wrote. Null: a program did, or the person has left."""

    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )

    class Meta(Record.Meta):
        abstract = True


@watchable
class Account(Record):
    """A company. Known by its website, else by its name: companies may share a name, and not a website."""

    name = models.CharField(max_length=200)
    website = models.URLField(max_length=500, null=True, blank=True)
    industry = ArrayField(
        models.CharField(max_length=100), size=50, default=list, blank=True, help_text="Separated by commas."
    )
    headcount = models.CharField(max_length=50, null=True, blank=True, help_text="A range, as 11-50.")
    last_funding_type = models.CharField(max_length=100, null=True, blank=True)
    linkedin = models.CharField(max_length=200, null=True, blank=True)
    twitter = models.CharField(max_length=200, null=True, blank=True)
    facebook = models.CharField(max_length=200, null=True, blank=True)
    instagram = models.CharField(max_length=200, null=True, blank=True)
    primary_address = models.JSONField(
        null=True,
        blank=True,
        decoder=StoredJSON,
        validators=[postal_address],
        help_text="A JSON object: street, street2, city, state, postal_code, country, latitude, longitude.",
    )
    how_they_make_money = models.TextField(max_length=PARAGRAPHS, null=True, blank=True)
    account_status = models.TextField(max_length=PARAGRAPHS, null=True, blank=True)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )

    class Meta(Record.Meta):
        constraints = (
            # UPPER is what Django's `iexact` asks for, so the index that keeps them apart also finds them.
            models.UniqueConstraint(
                Upper("website"),
                name="account_website_once",
                violation_error_message="Another account has this website.",
            ),
        )
        indexes = (models.Index(Upper("name"), F("id"), name="account_by_name"),)

    def __str__(self) -> str:
        return self.name


@watchable
class Contact(Record):
    """A person. Known by the e-mail address, whatever its case."""

    first_name = models.CharField(max_length=100, null=True, blank=True)
    last_name = models.CharField(max_length=100, null=True, blank=True)
    email = EmailAddressField("e-mail", max_length=254, null=True, blank=True)
    title = models.CharField(max_length=200, null=True, blank=True, help_text="Of the job.")
    instagram = models.CharField(max_length=200, null=True, blank=True)
    profile_photo_url = models.URLField("profile photo", max_length=500, null=True, blank=True)
    do_not_contact = models.BooleanField(default=False)
    account = models.ForeignKey(
        Account, models.SET_NULL, null=True, blank=True, related_name="contacts"
    )  # one at a time: who changes jobs is moved

    class Meta(Record.Meta):
        constraints = (
            models.UniqueConstraint(
                Upper("email"),
                name="contact_email_once",
                violation_error_message="Another contact has this e-mail address.",
            ),
            models.CheckConstraint(
                condition=Q(email__isnull=False) | Q(first_name__isnull=False) | Q(last_name__isnull=False),
                name="contact_is_somebody",
                violation_error_message="A contact needs an e-mail address or a name.",
            ),
        )

    def __str__(self) -> str:
        return " ".join(filter(None, (self.first_name, self.last_name))) or self.email or "Nobody"


@watchable
class Opportunity(Authored):
    """A deal that may be made."""

    name = models.CharField(max_length=200)
    stage = models.CharField(max_length=100, null=True, blank=True)
    pipeline = models.CharField(max_length=100, null=True, blank=True)
    # 15 digits: as many as a JSON number carries through every reader.
    amount = models.DecimalField(max_digits=15, decimal_places=2, null=True, blank=True)
    last_interaction_at = models.DateTimeField(null=True, blank=True)
    opportunity_status = models.TextField(max_length=PARAGRAPHS, null=True, blank=True)
    account = models.ForeignKey(Account, models.SET_NULL, null=True, blank=True, related_name="opportunities")
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    champion = models.ForeignKey(
        Contact, models.SET_NULL, null=True, blank=True, related_name="championed_opportunities"
    )
    evaluator = models.ForeignKey(
        Contact, models.SET_NULL, null=True, blank=True, related_name="evaluated_opportunities"
    )

    class Meta(Record.Meta):
        verbose_name_plural = "opportunities"
        indexes = (models.Index(F("stage"), F("id"), name="opportunity_by_stage"),)

    def __str__(self) -> str:
        return self.name


class MeetingPrivacy(models.TextChoices):
    FULL = "full", "Everything"  # everybody who may see meetings reads all of it
    METADATA = "metadata", "Only that it took place"  # for those who show it; nothing here hides a field


@watchable
class Meeting(Record):
    """A talk. `start_date` and `end_date` are instants; the names are the product's."""

    title = models.CharField(max_length=300)
    start_date = models.DateTimeField()
    end_date = models.DateTimeField()
    description = models.TextField(max_length=PARAGRAPHS, null=True, blank=True)
    meeting_url = models.URLField("address of the call", max_length=2000, null=True, blank=True)
    organizer_email = EmailAddressField("organizer's e-mail", max_length=254, null=True, blank=True)
    attendee_emails = ArrayField(
        EmailAddressField(max_length=254),
        size=500,
        default=list,
        blank=True,
        help_text="Separated by commas.",
    )
    privacy_setting = models.CharField(
        max_length=10, choices=MeetingPrivacy.choices, default=MeetingPrivacy.FULL
    )
    transcript = models.TextField(max_length=PAGES, null=True, blank=True)
    account = models.ForeignKey(Account, models.SET_NULL, null=True, blank=True, related_name="meetings")
    opportunity = models.ForeignKey(
        Opportunity, models.SET_NULL, null=True, blank=True, related_name="meetings"
    )
    contact = models.ForeignKey(Contact, models.SET_NULL, null=True, blank=True, related_name="meetings")

    class Meta(Record.Meta):
        constraints = (
            models.CheckConstraint(
                condition=Q(end_date__gte=F("start_date")),
                name="meeting_ends_after_its_start",
                violation_error_message="A meeting does not end before it starts.",
            ),
            models.CheckConstraint(
                condition=Q(privacy_setting__in=MeetingPrivacy.values), name="meeting_privacy_known"
            ),
        )

    def __str__(self) -> str:
        return self.title


class TaskStatus(models.TextChoices):
    """People and workflows move it in any direction."""

    TODO = "todo", "To do"
    IN_PROGRESS = "in_progress", "In progress"
    COMPLETE = "complete", "Complete"
    CANCELLED = "cancelled", "Cancelled"


@watchable
class Task(Authored):
    """Something to be done, by somebody or, as yet, by nobody: a workflow need not know whom to ask."""

    title = models.CharField(max_length=300)
    status = models.CharField(max_length=20, choices=TaskStatus.choices, default=TaskStatus.TODO)
    description = models.TextField(max_length=PARAGRAPHS, null=True, blank=True, help_text="Markdown.")
    due_at = models.DateTimeField(null=True, blank=True)
    assigned_to = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    account = models.ForeignKey(Account, models.SET_NULL, null=True, blank=True, related_name="tasks")
    opportunity = models.ForeignKey(Opportunity, models.SET_NULL, null=True, blank=True, related_name="tasks")

    class Meta(Record.Meta):
        constraints = (
            models.CheckConstraint(condition=Q(status__in=TaskStatus.values), name="task_status_known"),
        )
        indexes = (models.Index(F("status"), F("id"), name="task_by_status"),)

    def __str__(self) -> str:
        return self.title


@watchable
class Note(Authored):
    """Something worth keeping, about any of the others."""

    title = models.CharField(max_length=300)
    content = models.TextField(max_length=PAGES, null=True, blank=True, help_text="Markdown.")
    account = models.ForeignKey(Account, models.SET_NULL, null=True, blank=True, related_name="notes")
    opportunity = models.ForeignKey(Opportunity, models.SET_NULL, null=True, blank=True, related_name="notes")
    contact = models.ForeignKey(Contact, models.SET_NULL, null=True, blank=True, related_name="notes")
    meeting = models.ForeignKey(Meeting, models.SET_NULL, null=True, blank=True, related_name="notes")

    def __str__(self) -> str:
        return self.title
