"""Who asks: Entity A, Entity B, the Enrolee, the UE, and the clients of MAF, MEF and BSF."""
