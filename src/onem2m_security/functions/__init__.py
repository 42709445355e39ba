"""MAF, MEF and BSF as request to response over a store. No sockets."""
