"""3GPP Generic Bootstrapping Architecture: MILENAGE, AKA and the NAF keys (TS 33.220)."""
