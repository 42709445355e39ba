"""Who hands keys out: MAF, MEF and BSF, as request to response over a store; their settings and running."""
