"""``m2msec demo``."""


def demo() -> None:
    """Run the main job."""
