"""Kills ticks and Flux's commands again and again, on a real Flux."""
