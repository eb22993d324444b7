"""What an agent may be permitted about records: `read_records` and `write_records`. Importing this package registers both.

`docs/agent-tools.md` says what they do. The records themselves are read and written by the functions of the record steps
(`crm.steps`); here stands what a step permits, and that nothing else comes out or in: `scope`, `references`, `unread`.
"""

from crm.tools import read_records, write_records

__all__ = ["read_records", "write_records"]
