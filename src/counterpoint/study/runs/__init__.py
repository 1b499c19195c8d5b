"""Runs that survive: each is known by its content, written once, and never repeated."""
