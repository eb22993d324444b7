"""What REST framework and drf-spectacular are told. `settings` hands both on; the same in every installation."""

from __future__ import annotations

from typing import Any, Final

REST_FRAMEWORK: Final[dict[str, Any]] = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "lightfield.access.auth.ApiKeyAuthentication",
        "lightfield.access.auth.StaffSessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["lightfield.access.auth.HasRight"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["lightfield.access.parsers.StrictJSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "lightfield.api.exception_handler",
    "DATETIME_FORMAT": "%Y-%m-%dT%H:%M:%S.%fZ",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS: Final[dict[str, Any]] = {
    "TITLE": "Lightfield API",
    "DESCRIPTION": "Durable workflow automation: workflows, events, runs and their timelines, and records.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SERVE_AUTHENTICATION": [],  # the page and the document hold nothing secret
    "OAS_VERSION": "3.1.0",
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "lightfield.access.schema.document_what_all_share",
    ],
    "ENUM_NAME_OVERRIDES": {
        "WorkflowStatus": "workflows.models.WorkflowStatus",
        "EventStatus": "triggers.models.EventStatus",
        "Verdict": "triggers.decisions.verdicts.Verdict",
        "DeliveryVerdict": "triggers.deliveries.models.DeliveryVerdict",
        "RunStatus": "executions.states.RunStatus",
        "StepStatus": "executions.states.StepStatus",
        "NoticeStatus": "executions.notices.models.MessageStatus",
        "CircuitState": "executions.circuits.models.CircuitState",
        "TaskStatus": "crm.models.TaskStatus",
        "MeetingPrivacy": "crm.models.MeetingPrivacy",
    },
    "TAGS": [
        {
            "name": "workflows",
            "description": "What shall happen: drafts, published versions, starting by hand.",
        },
        {"name": "watchables", "description": "What the triggers of records can watch."},
        {"name": "events", "description": "What set it off."},
        {"name": "deliveries", "description": "The inbox: what came to webhook addresses, accepted or not."},
        {"name": "runs", "description": "What came of it, step by step."},
        {"name": "circuits", "description": "Hosts that fail, and are held back for it."},
        {
            "name": "crm",
            "description": "The records: accounts, contacts, opportunities, meetings, tasks, notes.",
        },
    ],
    "SCHEMA_PATH_PREFIX": r"/api/v[0-9]",
}
