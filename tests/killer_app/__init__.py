"""An installed app whose step types end the process they run in. For tests with real cells."""
