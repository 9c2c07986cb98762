"""Programs for developers, and what they share with tests."""
