"""What people write to say when: a cron line, or every day, week or month. Judged here, and turned into lines. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from cronsim import CronSim, CronSimError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lightfield.kernel.errors import Problem, RequestRefused
from triggers.schedules import zones
from triggers.schedules.catching_up import Missed
from triggers.schedules.instants import Schedule, is_ever_due
from workflows.problems import problems_of_model

CRON_LENGTH_LIMIT = 200
ANY_TIME = datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None)  # cronsim reads a line together with a time
WEEKDAYS = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
MISSED = Literal["all", "latest", "none"]

# Which fields go with which `every`.
FIELDS_OF_EVERY = {"day": {"at"}, "week": {"at", "weekday"}, "month": {"at", "day"}}


class ScheduleConfig(BaseModel):
    """Either `cron`, or `every` with the fields that go with it. `problems_of` says what else must hold."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    cron: str | None = Field(
        None, max_length=CRON_LENGTH_LIMIT, description="Five fields: minute hour day month weekday."
    )
    every: Literal["day", "week", "month"] | None = None
    at: str | None = Field(None, pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", description="Such as 09:00.")
    weekday: WEEKDAYS | None = Field(None, description="With every week.")
    day: Annotated[int, Field(ge=1, le=31)] | Literal["last"] | None = Field(
        None, description="With every month: 1 to 31 or last. In a month without that day, its last day."
    )
    timezone: str = Field("UTC", max_length=80, description="An IANA name, such as Europe/Berlin.")
    missed: MISSED = Field("latest", description="Which instants fire that went by while nothing ran.")


def read(config: dict[str, Any]) -> tuple[Schedule, Missed]:
    """The schedule of a stored config.

    Raises:
        RequestRefused: `config.invalid` with all problems; only when another release has published it.
    """
    try:
        written = ScheduleConfig.model_validate(config)
    except ValidationError as error:
        problems = problems_of_model(error, config, code="config.invalid")
        raise RequestRefused("config.invalid", "This is no schedule.", problems) from None
    problems = problems_of(written)
    zone = zones.find(written.timezone)
    if problems or zone is None:
        raise RequestRefused("config.invalid", "This schedule cannot be used.", problems)
    return Schedule(_lines(written), zone), Missed(written.missed)


def problems_of(config: ScheduleConfig) -> list[Problem]:
    """Everything that keeps a config of the right shape from being published. Pointers lead into the config."""
    problems = [*_form_problems(config)]
    if config.cron is not None:
        problems += _cron_problems(config.cron)
    if zones.find(config.timezone) is None:
        detail = f"There is no IANA time zone {config.timezone!r}; capitals matter, as in Europe/Berlin."
        problems.append(Problem("/timezone", "schedule.unknown_timezone", detail))
    return problems


def _form_problems(config: ScheduleConfig) -> Iterator[Problem]:
    """The two forms must not be mixed, and each needs its fields."""
    if config.every is None and config.cron is None:
        yield _invalid("/cron", "Give either cron, or every with at.")
    if config.every is not None and config.cron is not None:
        yield _invalid("/every", "Give either cron or every, not both.")
        return
    wanted = FIELDS_OF_EVERY[config.every] if config.every else set()
    for name in ("at", "weekday", "day"):
        is_given = getattr(config, name) is not None
        if name in wanted and not is_given:
            yield _invalid(f"/{name}", f"Every {config.every} needs this field.")
        elif is_given and name not in wanted:
            form = f"every {config.every}" if config.every else "a cron line"
            yield _invalid(f"/{name}", f"This field does not go with {form}.")


def _invalid(pointer: str, detail: str) -> Problem:
    return Problem(pointer, "config.invalid", detail)


def _cron_problems(line: str) -> list[Problem]:
    fields = line.split()
    if len(fields) != 5 or not line.isascii():  # cronsim would read six as beginning with seconds
        detail = "Write five fields, minute hour day month weekday, such as 0 9 * * 1-5."
        return [Problem("/cron", "schedule.invalid_cron", detail)]
    if flaw := _flaw(fields):
        if flaw == "Bad day-of-month" and not _flaw([*fields[:3], "*", fields[4]]):
            return [_never_due("None of its months has such a day.")]
        return [Problem("/cron", "schedule.invalid_cron", f"The line cannot be read: {flaw.lower()}.")]
    return [] if is_ever_due(line) else [_never_due("No day in 50 years is all that the line asks for.")]


def _never_due(detail: str) -> Problem:
    return Problem("/cron", "schedule.never_due", detail)


def _flaw(fields: list[str]) -> str:
    """What cronsim finds wrong with the five fields, such as `Bad minute`; empty when nothing is."""
    try:
        CronSim(" ".join(fields), ANY_TIME)
    except CronSimError as error:
        return str(error)
    return ""


def _lines(config: ScheduleConfig) -> tuple[str, ...]:
    """The cron lines that together mean the same."""
    if config.cron is not None:
        return (" ".join(config.cron.split()),)
    assert config.at is not None
    hour, minute = config.at.split(":")
    time = f"{int(minute)} {int(hour)}"
    match config.every:
        case "week":
            return (f"{time} * * {config.weekday}",)
        case "month":
            return tuple(f"{time} {days}" for days in _days_of_months(config.day))
    return (f"{time} * * *",)


def _days_of_months(day: int | str | None) -> tuple[str, ...]:
    """Day, month and weekday fields. A month without that day has its last day instead: only cron lines skip it."""
    if day == "last" or day == 31:
        return ("L * *",)
    if day in (29, 30):
        return (f"{day} 1,3-12 *", "L 2 *")
    return (f"{day} * *",)
