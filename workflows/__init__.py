"""The language: definitions, drafts and published versions, templates, step types, the retry policy."""
