"""Measures the operations that must be fast, and prints the goals that exist."""
