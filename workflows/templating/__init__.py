"""The template language: python-liquid reads it, this package judges and evaluates it.

The order of reading: `lexer` cuts a template into tags and text, `reader` lets python-liquid parse them,
`compiler`, `expression_compiler` and `conditions` turn the parse tree into closures over a `frame`, `values`
says what a value is, `faults` what may go wrong and how much one template may do.
`workflows.expressions` is the door; nothing else imports from here, except the filters.
"""
