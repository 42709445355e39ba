"""How a request looks: oneM2M primitives and resources, each with encode and decode."""
