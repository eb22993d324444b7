"""What is published, and what it is sealed with: secrets, workflows and versions."""

from __future__ import annotations

from tests.integration.verify_plants.plant import Plant

A_SECRET = (
    "INSERT INTO access_credential (id, name, description, hosts, ciphertext, last4, created_by, updated_by) "
    "VALUES (gen_random_uuid(), 'a', '', '[]', '{}', '', '', '')"
)

PLANTS = [
    # --- secrets
    Plant("sealed-opens", A_SECRET.format("lf1.gone.AAAA")),
    Plant("sealed-opens", A_SECRET.format("plain text")),
    Plant(
        "sealed-opens",
        "UPDATE triggers_trigger SET token_ciphertext = overlay(token_ciphertext PLACING 'xx' FROM 30)",
    ),
    # --- workflows and versions
    Plant(
        "version-unchanged",
        "UPDATE workflows_workflowversion SET definition = jsonb_set(definition, '{name}', '\"x\"')",
    ),
    Plant("version-unchanged", "UPDATE workflows_workflowversion SET checksum = repeat('0', 64)"),
    Plant(
        "plan-follows-definition",
        "UPDATE workflows_workflowversion SET plan = plan || plan WHERE plan <> '[]'",
    ),
    Plant("plan-follows-definition", "UPDATE workflows_workflowversion SET timeout_seconds = 5"),
    Plant("versions-numbered", "UPDATE workflows_workflowversion SET number = 3"),
    Plant(
        "versions-numbered",
        "UPDATE workflows_workflow SET active_version_id = (SELECT max(id) FROM workflows_workflowversion)",
    ),
    Plant("versions-numbered", "DELETE FROM triggers_trigger"),
    Plant("trigger-follows-version", "UPDATE triggers_trigger SET kind = 'manual' WHERE kind = 'webhook'"),
    Plant(
        "trigger-follows-version",
        "UPDATE triggers_trigger SET config = jsonb_set(config, '{entity}', '\"contact\"') WHERE kind = 'record'",
    ),
    Plant("trigger-follows-version", "UPDATE triggers_trigger SET signing = 'stripe' WHERE kind = 'webhook'"),
    Plant("trigger-follows-version", "UPDATE workflows_workflow SET active_version_id = NULL"),
    Plant(
        "versions-numbered",
        "UPDATE workflows_workflow SET active_version_id = (SELECT max(id) FROM workflows_workflowversion WHERE is_test) "
        "WHERE id = (SELECT workflow_id FROM workflows_workflowversion WHERE is_test)",
    ),
    Plant("test-stays-a-test", "UPDATE triggers_outboxevent SET source = 'manual' WHERE source = 'test'"),
    Plant("test-stays-a-test", "UPDATE triggers_outboxevent SET source = 'test' WHERE source = 'webhook'"),
]
