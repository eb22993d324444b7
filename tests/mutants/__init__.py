"""The test of the tests: faults put into the engine one by one, each of which some test must notice."""
