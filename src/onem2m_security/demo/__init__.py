"""The demonstrations: real servers and clients on this machine, drawn as it happens."""
