"""Record steps played to their end, through the engine."""

from __future__ import annotations

from typing import Any

from executions import engine
from executions.models import Run, StepRun
from tests.staging import a_run
from workflows import step_types
from workflows.step_types import StepContext

CONTEXT = StepContext(
    run_id="", step_key="it", attempt=1, trace_id="", idempotency_key="", deadline=float("inf")
)


def step(type_: str, key: str = "it", **config: Any) -> dict[str, Any]:
    return {"key": key, "type": type_, "config": config}


def create(entity: str, *, key: Any = "it", **fields: Any) -> dict[str, Any]:
    return step("create_record", key, entity=entity, fields=fields)


def update(entity: str, record_id: object, *, key: Any = "it", **fields: Any) -> dict[str, Any]:
    return step("update_record", key, entity=entity, id=str(record_id), fields=fields)


def upsert(entity: str, match: dict[str, Any], *, key: Any = "it", **fields: Any) -> dict[str, Any]:
    return step("upsert_record", key, entity=entity, match=match, fields=fields)


def find(entity: str, *filters: tuple[Any, ...], key: str = "it", **more: Any) -> dict[str, Any]:
    """Filters as (field, operator, value); without a value for is_set."""
    written = [dict(zip(("field", "operator", "value"), one, strict=False)) for one in filters]
    return step("find_records", key, entity=entity, filters=written, **more)


def play(*steps: dict[str, Any], payload: Any = None, **columns: Any) -> Run:
    """A run of these steps, advanced once."""
    run = a_run(*steps, **({"payload": payload} if payload is not None else {}), **columns)
    engine.advance([str(run.pk)])
    run.refresh_from_db()
    return run


def output_of(*steps: dict[str, Any], payload: Any = None) -> Any:
    """What the last of them gives."""
    run = play(*steps, payload=payload)
    assert run.status == "completed", run.error
    return last_step(run).output


def error_of(*steps: dict[str, Any], payload: Any = None) -> Any:
    """The error that ends the run."""
    run = play(*steps, payload=payload)
    assert run.status == "failed"
    return run.error


def found_by(entity: str, *filters: tuple[Any, ...], **more: Any) -> list[dict[str, Any]]:
    """The records that `find_records` finds, asked without a run around it."""
    step_type = step_types.get("find_records")
    config = step_types.load_config(step_type, find(entity, *filters, **more)["config"])
    records: list[dict[str, Any]] = step_type.execute(config, CONTEXT).output["records"]  # type: ignore[attr-defined]
    return records


def step_of(run: Run, key: str = "it") -> Any:
    """One of its steps, its output and error as whatever they are."""
    return run.steps.get(key=key)


def last_step(run: Run) -> StepRun:
    found = run.steps.order_by("position").last()
    assert found is not None
    return found
