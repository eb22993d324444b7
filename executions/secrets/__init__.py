"""Secrets on their way out: opened for one request, for bound hosts only, and cut out of whatever comes back.

`sealed` is how a frozen request refers to them, `opening` reads their values when egress asks, `hiding` knows every value that
was opened in an attempt and removes it from output and errors, `publishing` judges them before a workflow is published.
"""
