"""One model for each thing that a Django project may do and that record capture must survive."""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.functions import RandomUUID
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import F
from django.db.models.functions import Now, Upper

from triggers.records import watchable


@watchable
class Invoice(models.Model):
    """Plain, with the oldest kind of key."""

    id = models.AutoField(primary_key=True)
    number = models.CharField(max_length=20)
    state = models.CharField(max_length=20, default="new")


@watchable
class Country(models.Model):
    """Known by a text that people choose."""

    code = models.CharField(max_length=10, primary_key=True)
    name = models.CharField(max_length=50)


@watchable
class Device(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    name = models.CharField(max_length=50)


@watchable
class Letter(models.Model):
    """The database makes its key, which is an expression until then."""

    id = models.UUIDField(primary_key=True, db_default=RandomUUID())
    name = models.CharField(max_length=50, unique=True)
    state = models.CharField(max_length=20, db_default="new")


@watchable
class Hour(models.Model):
    """Known by an instant, which Python and PostgreSQL spell differently."""

    at = models.DateTimeField(primary_key=True)
    name = models.CharField(max_length=50)


@watchable
class Everything(models.Model):
    """Each kind of field once."""

    whole = models.BigIntegerField(null=True)
    small = models.PositiveSmallIntegerField(null=True)
    exact = models.DecimalField(max_digits=12, decimal_places=3, null=True)
    rough = models.FloatField(null=True)
    maybe = models.BooleanField(null=True)
    line = models.CharField(max_length=100, null=True)
    text = models.TextField(null=True)
    slug = models.SlugField(null=True)
    mail = models.EmailField(null=True)
    link = models.URLField(null=True)
    mark = models.UUIDField(null=True)
    host = models.GenericIPAddressField(null=True)
    at = models.DateTimeField(null=True)
    day = models.DateField(null=True)
    clock = models.TimeField(null=True)
    length = models.DurationField(null=True)
    raw = models.BinaryField(null=True)
    document = models.JSONField(null=True)
    encoded = models.JSONField(encoder=DjangoJSONEncoder, null=True)
    words = ArrayField(models.CharField(max_length=20), null=True)
    grid = ArrayField(ArrayField(models.IntegerField()), null=True)
    instants = ArrayField(models.DateTimeField(), null=True)
    upload = models.FileField(upload_to="uploads", null=True)
    shouted = models.GeneratedField(
        expression=Upper("line"), output_field=models.CharField(max_length=100), db_persist=True
    )
    doubled = models.GeneratedField(
        expression=F("exact") * 2,
        output_field=models.DecimalField(max_digits=13, decimal_places=3),
        db_persist=True,
    )
    made = models.DateTimeField(db_default=Now())
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, related_name="+", null=True)
    country = models.ForeignKey(Country, models.SET_NULL, related_name="+", null=True)
    device = models.ForeignKey(Device, models.CASCADE, related_name="+", null=True)


@watchable
class Profile(models.Model):
    """Its key is another's."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, primary_key=True)
    motto = models.CharField(max_length=50)


@watchable
class Branch(models.Model):
    """A tree."""

    parent = models.ForeignKey("self", models.SET_NULL, related_name="children", null=True)
    state = models.CharField(max_length=20, default="open")
    rank = models.IntegerField(default=0)


class Kept(models.QuerySet[Any]):
    """A queryset with an `update` of its own."""

    def update(self, **values: Any) -> int:
        return super().update(touched=F("touched") + 1, **values)

    def delete(self) -> tuple[int, dict[str, int]]:
        return self.update(is_deleted=True), {}


class NotDeleted(models.Manager.from_queryset(Kept)):  # type: ignore[misc]
    def get_queryset(self) -> Any:
        return super().get_queryset().filter(is_deleted=False)


@watchable
class Paper(models.Model):
    """Softly deleted: what is gone is hidden, also from `objects`."""

    title = models.CharField(max_length=50)
    is_deleted = models.BooleanField(default=False)
    touched = models.IntegerField(default=0)

    objects = NotDeleted()


class PaperByTitle(Paper):
    class Meta:
        proxy = True
        ordering = ("title",)


@watchable
class Place(models.Model):
    place_id = models.AutoField(primary_key=True)
    name = models.CharField(max_length=50)


@watchable
class Firm(models.Model):
    firm_id = models.AutoField(primary_key=True)
    vat = models.CharField(max_length=50)


class Restaurant(Place):
    """Its rows lie in two tables; nobody watches the second."""

    stars = models.IntegerField(default=0)


class Chain(Restaurant):
    size = models.IntegerField(default=1)


class Hotel(Place, Firm):
    """Two parents, and so two keys."""

    beds = models.IntegerField(default=0)


class Dated(models.Model):
    created = models.DateTimeField(auto_now_add=True)
    modified = models.DateTimeField(auto_now=True)

    class Meta:
        abstract = True


@watchable
class Story(Dated):
    title = models.CharField(max_length=50)

    class Meta:
        select_on_save = True


@watchable
class Chapter(models.Model):
    story = models.ForeignKey(Story, models.CASCADE, related_name="chapters")
    title = models.CharField(max_length=50)

    class Meta:
        order_with_respect_to = "story"


@watchable(exclude=["secret"], entity="safe_box")
class Safe(models.Model):
    label = models.CharField(max_length=50)
    secret = models.CharField(max_length=50)
    hint = models.GeneratedField(
        expression=models.functions.Left("secret", 1),
        output_field=models.CharField(max_length=1),
        db_persist=True,
    )


@watchable
class Odd(models.Model):
    """Names that must be quoted."""

    id = models.AutoField(primary_key=True, db_column="Key of it's own")
    order = models.CharField(max_length=50, db_column="select")
    share = models.IntegerField(default=0, db_column="Größe; --")
    größe = models.IntegerField(default=0, db_column="it's")

    class Meta:
        db_table = "it's an Odd; table"


@watchable
class Elsewhere(models.Model):
    """In a schema that is not on the search path, as projects write it."""

    name = models.CharField(max_length=50)

    class Meta:
        db_table = 'watched_elsewhere"."the table'


@watchable
class Reading(models.Model):
    """Partitioned by hand."""

    id = models.BigIntegerField(primary_key=True)
    value = models.IntegerField(default=0)

    class Meta:
        managed = False
        db_table = "watched_app_reading"


Wide: Any = watchable(
    type(
        "Wide",
        (models.Model,),
        {"__module__": __name__}
        | {f"column_{number}": models.IntegerField(default=0) for number in range(120)},
    )
)
