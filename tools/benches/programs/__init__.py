"""What the measured processes run in their own environments."""
