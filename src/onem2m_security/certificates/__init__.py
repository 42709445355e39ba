"""Certificate profiles, flavours, verification, a small issuing authority (TS-0003 clauses 8.1.2, 10.1)."""
