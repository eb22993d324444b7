"""Changes of watched records: none passed capture by, and the database is arranged as the settings say."""

from __future__ import annotations

from executions.verifying.invariant import Invariant, Subject
from triggers.records import database, uncaptured


def passed_by() -> list[str]:
    return [str(one) for one in uncaptured.told()]


INVARIANTS = (
    Invariant(
        name="changes-captured",
        number="I3",
        subject=Subject.NOTES,
        says="Every change of a watched record was captured: none passed Django by.",
        broken=passed_by,
        remedy="Write through Django's models, or set LIGHTFIELD_CAPTURE=trigger and run bin/manage migrate; what has "
        "been dealt with: bin/manage uncaptured --forget.",
    ),
    Invariant(
        name="capture-installed",
        number="I3",
        subject=Subject.NOTES,
        says="Every watched table has the database triggers that LIGHTFIELD_CAPTURE asks for, enabled and of this release, "
        "and no table has others of ours.",
        broken=database.differences,
        remedy="bin/manage migrate, with the settings of the workers and of web.",
    ),
)
