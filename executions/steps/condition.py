"""`condition`: go on only if a comparison holds; else the later steps are skipped and the run completes."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, JsonValue, model_validator

from workflows.comparisons import Operator, compare
from workflows.step_types import Completed, FastStepType, StepConfig, StepContext, StepOutput, register

DEPTH_LIMIT = 5  # levels of `all` and `any`
RULES_LIMIT = 50  # rules in one `all` or `any`

Rules = Annotated[list["Rule"], Field(min_length=1, max_length=RULES_LIMIT)]


class Rule(StepConfig):
    """One comparison, or several joined by `all` or `any`."""

    left: JsonValue = None
    operator: Operator | None = None
    right: JsonValue = None
    all: Rules | None = None
    any: Rules | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        forms = [form for form in ("operator", "all", "any") if getattr(self, form) is not None]
        if len(forms) != 1:
            raise ValueError("Give either left, operator and right, or all, or any.")
        given = self.model_fields_set - set(forms)
        if forms == ["operator"]:
            self._check_comparison(given)
        elif given:
            raise ValueError(f"Beside {forms[0]} there can be nothing else.")
        if self.depth() > DEPTH_LIMIT:
            raise ValueError(f"Nest all and any at most {DEPTH_LIMIT} deep.")
        return self

    def _check_comparison(self, given: set[str]) -> None:
        wanted = {"left"} if self.operator == "is_set" else {"left", "right"}
        if missing := sorted(wanted - given):
            raise ValueError(f"The operator {self.operator} needs {' and '.join(missing)}.")

    def depth(self) -> int:
        """0 for a comparison, else one more than the deepest rule inside."""
        inner = self.all or self.any
        return 1 + max(rule.depth() for rule in inner) if inner else 0

    def holds(self) -> bool:
        if self.all is not None:
            return all(rule.holds() for rule in self.all)
        if self.any is not None:
            return any(rule.holds() for rule in self.any)
        assert self.operator is not None
        return compare(self.left, self.operator, self.right)


class ConditionOutput(StepOutput):
    passed: bool


@register
class Condition(FastStepType[Rule]):
    """Go on only if the comparison holds.

    Config: `{"left", "operator", "right"}`, `{"all": [...]}` or `{"any": [...]}`, nested up to 5 deep. The
        operators are those of `workflows.comparisons`. A missing path is an error as everywhere; to ask
        whether something is there, write `{{ trigger.x | default: nil }}` with `is_set`.

    Output: `{"passed": true}` or `{"passed": false}`; false skips the rest of the run.
    """

    name = "condition"
    summary = "Go on only if a comparison holds"
    Config = Rule
    Output = ConditionOutput

    def execute(self, config: Rule, context: StepContext) -> Completed:  # noqa: ARG002  as all steps
        passed = config.holds()
        return Completed({"passed": passed}, skip_rest=not passed)
