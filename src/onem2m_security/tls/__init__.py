"""The (D)TLS engine behind one sans-IO session type; nothing above this floor knows which library it is."""
