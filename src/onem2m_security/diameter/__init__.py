"""How a request of Zn looks over Diameter."""
