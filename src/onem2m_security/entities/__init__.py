"""What a device or a CSE imports: Entity A, Entity B and the clients of MAF and MEF."""
