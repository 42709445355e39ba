"""Records, sealing at rest and the database: the only floor that touches SQL."""
