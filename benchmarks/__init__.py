"""Measurements against programs that this project did not write; ``make bench`` runs them.

``python -m benchmarks METRIC`` measures one of them; docs/benchmarks.md says how, and what came of it.
"""
