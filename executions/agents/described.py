"""The permissions of an agent step as JSON Schema: which kinds are installed, and what each may say."""

from __future__ import annotations

from typing import Any, Final

from executions.agents import tools

JsonObject = dict[str, Any]

DEFINITIONS: Final = "$defs"


def with_kinds(schema: JsonObject) -> JsonObject:
    """The schema of a config whose `tools` lists permissions: each is of one of the installed kinds."""
    if not tools.all_kinds():
        return schema
    definitions, kinds = dict(schema.get(DEFINITIONS, {})), []
    for kind in tools.all_kinds():
        grant = kind.Grant.model_json_schema()
        definitions |= grant.pop(DEFINITIONS, {})
        kind_field = {**grant["properties"]["type"], "const": kind.name}
        grant["properties"] = {**grant["properties"], "type": kind_field}
        grant["description"] = kind.summary
        definitions[grant["title"]] = grant
        kinds.append({"$ref": f"#/{DEFINITIONS}/{grant['title']}"})
    listed = {**schema["properties"]["tools"], "items": {"anyOf": kinds}}
    return {**schema, DEFINITIONS: definitions, "properties": {**schema["properties"], "tools": listed}}
