"""One description of an entity, in one file: what it serves, who it is, and its peers by identity."""
