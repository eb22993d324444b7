"""Mutants of what an agent is told: data told apart, permissions fixed at publish, warnings."""

from __future__ import annotations

from tests.mutants.mutant import breaking, edit, planted

FRAME = "workflows/templating/data_frame.py"
TEXT = "workflows/data_text.py"
ATTEMPTS = "executions/attempts.py"
STEP = "executions/steps/ai_agent.py"
PERMISSIONS = "executions/agents/permissions.py"
DATA = "unit/test_data_text.py"
AGENT = "unit/test_ai_agent_step.py"
RECIPES = "integration/agents/test_examples.py"

MUTANTS = (
    *breaking(
        "What a template fills into an agent's texts is data, and never passes for its author's words",
        planted(
            "names-are-the-authors",
            "what went into a variable of the template is forgotten",
            edit(
                FRAME,
                "        self._sources[name] = sources\n\n    def capture",
                "        self._sources[name] = OWN\n\n    def capture",
            ),
            by=f"{DATA}::test_data_stays_data_through_filters_names_and_loops",
        ),
        planted(
            "items-are-the-authors",
            "an item of a loop counts as written by the author",
            edit(
                FRAME, '            self._sources |= {name: items, "forloop": OWN}', "            items = OWN"
            ),
            edit(FRAME, "self._sources[name] = items  # the", "self._sources[name] = OWN  # the"),
            by=f"{DATA}::test_data_stays_data_through_filters_names_and_loops",
        ),
        planted(
            "captured-is-the-authors",
            "what was captured counts as written by the author",
            edit(
                FRAME,
                "text, sources = str(DataText(self._pieces)), frozenset(self._written_from)",
                "text, sources = str(DataText(self._pieces)), OWN",
            ),
            by=f"{DATA}::test_data_stays_data_through_filters_names_and_loops",
        ),
        planted(
            "pieces-out-of-json",
            "a list in a payload passes for pieces",
            edit(
                TEXT,
                "return core_schema.is_instance_schema(cls, serialization=as_json)",
                "return core_schema.no_info_plain_validator_function(\n"
                "            lambda raw: cls(raw) if isinstance(raw, list) else raw, serialization=as_json\n        )",
            ),
            by=f"{DATA}::test_no_json_passes_for_a_text_with_data",
        ),
        planted(
            "data-written-into-the-text",
            "an agent's texts are rendered like all others",
            edit(
                ATTEMPTS,
                "render_config(spec.config, names_of(step), data_text.slots_of(step_type.Config))",
                "render_config(spec.config, names_of(step), ())",
            ),
            by=f"{RECIPES}::test_somebody_who_paid_by_stripe_becomes_contact_account_and_opportunity",
        ),
    ),
    *breaking(
        "What an agent may do, where it is asked and what bounds it is fixed when it is published, and no secret is told to a model",
        planted(
            "templates-in-permissions",
            "permissions may be filled in by data",
            edit(STEP, '"output_schema", "tools", "limits")', '"output_schema", "limits")'),
            by=f"{AGENT}::test_what_publishing_refuses_and_where",
        ),
        planted(
            "limits-out-of-data",
            "limits may be filled in by data",
            edit(STEP, '"output_schema", "tools", "limits")', '"output_schema", "tools")'),
            by=f"{AGENT}::test_what_publishing_refuses_and_where",
        ),
        planted(
            "secrets-in-prompts",
            "a prompt takes secrets",
            edit(STEP, "    prompt: DataSlot = Field(", "    prompt: DataSlot | SecretText = Field("),
            by=f"{AGENT}::test_what_publishing_refuses_and_where",
        ),
    ),
    *breaking(
        "Publishing warns where private data, input from outside and a way out meet in one agent",
        planted(
            "records-are-nobodys-secret",
            "records in the prompt do not count as private",
            edit(PERMISSIONS, "    private |= {root for root in read if _is_private(origins[root])}\n", ""),
            by=f"{AGENT}::test_what_publishing_warns_of",
        ),
        planted(
            "answers-of-hosts-are-ours",
            "what the hosts of an http tool answer does not count as written by others",
            edit(PERMISSIONS, "(ways_out and private and outside)", "(ways_out and private and read)"),
            by=f"{AGENT}::test_what_publishing_warns_of",
        ),
        planted(
            "warned-of-the-clock",
            "what the clock says counts as written by others",
            edit(PERMISSIONS, "if root in origins and origins[root] not in OUR_OWN", "if root in origins"),
            by=f"{AGENT}::test_what_publishing_warns_of",
        ),
    ),
)
