"""A Django app that has nothing to do with the CRM and makes watching hard. `installed` brings it in for tests."""
