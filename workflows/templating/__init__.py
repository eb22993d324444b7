"""The template language: python-liquid reads it, this package judges and evaluates it.

The order of reading: `lexer` cuts a template into tags and text, python-liquid parses them, `compiler` and
`conditions` turn the parse tree into closures, `values` says what a value is and what work costs.
`workflows.expressions` is the door; nothing else imports from here, except the filters.
"""
