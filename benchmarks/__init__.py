"""Measurements against programs that this project did not write; ``make bench`` runs them."""
