"""Measures what must be fast, from whole processes of an installed wheel.

`goals` says what must hold, `context` what all measurements share. The other modules measure; `programs` run in the
environments that `installation` makes. This process stays small and never imports maestro-es: Linux counts the peak
memory of a process from that of its parent.
"""
