"""The record steps, one file each: `create_record`, `update_record`, `upsert_record`, `find_records`.

Importing this package registers them. `docs/record-steps.md` says what they do; `entities`, `fields`, `filters`,
`matching`, `reading` and `refusals` are what they share.
"""

from crm.steps import create_record, find_records, update_record, upsert_record

__all__ = ["create_record", "find_records", "update_record", "upsert_record"]
