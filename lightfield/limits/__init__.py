"""docs/limits.md, drawn from what the limits are in the code: every setting, every field, every constant that bounds something."""
