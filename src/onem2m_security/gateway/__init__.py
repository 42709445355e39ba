"""The registrar's door: Entity B in front of any CSE, Entity A behind any AE."""
