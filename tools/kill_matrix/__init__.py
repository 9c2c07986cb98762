"""Kills ticks, and the commands that they call, again and again, on a real Flux, PBS or LSF."""
