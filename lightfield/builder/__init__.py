"""The admin's pages of workflows: the editor of a draft, its buttons, runs by hand, and why it did or did not fire.

`workflow_admin` is the door; the other modules each prepare a part of a page and write through services only.
"""
