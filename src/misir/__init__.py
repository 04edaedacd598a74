"""Misir: an orientation engine."""
