"""A project of somebody else's that brings step types of its own, as docs/howto/add-a-step-type.md shows it."""
