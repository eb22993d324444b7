"""How a model comes to be watched: by decorator (`@watchable`), or by the setting LIGHTFIELD_WATCH for models of others."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, overload

from django.apps import apps
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ImproperlyConfigured
from django.db.models import CompositePrimaryKey, Model

from triggers.records import watching, writers
from triggers.records.watching import Watch

M = TypeVar("M", bound=type[Model])
ENTITY = re.compile("[a-z][a-z0-9_]{0,99}")
ENGINE = frozenset({"access", "workflows", "triggers", "executions"})  # labels of apps


@overload
def watchable(model: M, /) -> M: ...
@overload
def watchable(*, entity: str = "", exclude: Iterable[str] = ()) -> Callable[[M], M]: ...
def watchable(model: Any = None, /, *, entity: str = "", exclude: Iterable[str] = ()) -> Any:
    """Class decorator: workflows may watch this model. Bare, or with arguments.

    Args:
        entity: what triggers call it; the model's name in small letters unless given. Unique in the project, and kept
            for ever: published triggers name it.
        exclude: fields that events must not tell, such as secrets. A user's password never is.

    Raises:
        ImproperlyConfigured: the model cannot be watched, or another has this name; the message says what to do.
    """

    def decorate(found: M) -> M:
        register(found, entity=entity, exclude=exclude)
        return found

    return decorate(model) if model is not None else decorate


def register(model: type[Model], *, entity: str = "", exclude: Iterable[str] = ()) -> Watch:
    """What `watchable` does, as a function. Registering the same again changes nothing."""
    meta = model._meta
    if isinstance(exclude, str):
        raise ImproperlyConfigured(
            f"{meta.label} cannot be watched: exclude is a list of names, such as [{exclude!r}]."
        )
    watch = Watch(model, entity or str(meta.model_name), frozenset(exclude) | _secrets_of(model))
    there = watching.find(model)
    if there == watch:
        return there
    if flaw := _flaw_of(watch):
        raise ImproperlyConfigured(f"{meta.label} cannot be watched: {flaw}")
    watching.add(watch)
    writers.wrap(model)
    return watch


def register_all(wanted: Mapping[str, Mapping[str, Any]]) -> None:
    """The setting LIGHTFIELD_WATCH: `{"billing.Invoice": {}, "auth.User": {"entity": "user", "exclude": ["email"]}}`."""
    if not isinstance(wanted, Mapping):
        raise ImproperlyConfigured('LIGHTFIELD_WATCH: expected a dict such as {"billing.Invoice": {}}.')
    for label, options in wanted.items():
        if flaw := _flaw_of_options(options):
            raise ImproperlyConfigured(f"LIGHTFIELD_WATCH[{label!r}]: {flaw}")
        try:
            model = apps.get_model(label)
        except (LookupError, ValueError, AttributeError) as error:
            raise ImproperlyConfigured(
                f"LIGHTFIELD_WATCH[{label!r}]: {error} Models are named as 'app_label.Model', and their app stands in "
                "INSTALLED_APPS."
            ) from error
        register(model, **options)


def _flaw_of_options(options: object) -> str:
    """What is wrong with the options of one model; empty when nothing is."""
    if not isinstance(options, Mapping):
        return (
            'expected a dict of options, which may be empty, such as {"entity": "bill", "exclude": ["iban"]}.'
        )
    if unknown := set(options) - {"entity", "exclude"}:
        return (
            f"no such option: {', '.join(map(str, sorted(unknown, key=str)))}; there are entity and exclude."
        )
    if not isinstance(options.get("entity", ""), str):
        return "entity is a name, in quotes."
    exclude = options.get("exclude", ())
    if (
        isinstance(exclude, str)
        or not isinstance(exclude, Iterable)
        or not all(isinstance(n, str) for n in exclude)
    ):
        return 'exclude is a list of names, such as ["iban"].'
    return ""


def _secrets_of(model: type[Model]) -> frozenset[str]:
    return frozenset({"password"}) if issubclass(model, AbstractBaseUser) else frozenset()


def _flaw_of(watch: Watch) -> str:
    """Why this model cannot be watched under this name; empty when it can."""
    meta = watch.model._meta
    if meta.abstract or meta.proxy:
        return "it has no table of its own; watch the model that has."
    if any(parent._meta.concrete_model is not watch.model for parent in meta.all_parents):
        return "its fields lie in several tables (multi-table inheritance); watch the model it inherits from."
    if isinstance(meta.pk, CompositePrimaryKey):
        return (
            "its primary key is made of several fields; give it one of its own, and those a UniqueConstraint."
        )
    if meta.swapped:
        return f"it is replaced by {meta.swapped}; watch that."
    if meta.app_label in ENGINE:
        return (
            "it belongs to the engine, whose work would set off more of it; runs and events are in the API."
        )
    known = [field.name for field in meta.concrete_fields if not field.primary_key]
    for name in sorted(watch.exclude - set(known)):
        return f"exclude names {name!r}, which is no field that events tell; there are {', '.join(known)}."
    if not ENTITY.fullmatch(watch.entity):
        return f"{watch.entity!r} is no name for it; give it an entity of small letters, digits and _, a letter first."
    other = watching.named(watch.entity)
    if other is not None and other.model is not watch.model:
        return (
            f"{other.model._meta.label} is called {watch.entity!r} already; give one of them another entity."
        )
    if watching.find(watch.model):
        return "it is watched already, with other options; say it in one place, the decorator or LIGHTFIELD_WATCH."
    return ""
