"""What the options of a command stand for: a class for each kind; each credential gives its own ``How``."""
