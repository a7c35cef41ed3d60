"""Listeners, TLS, sniffing, the mux builder and the connection loop, shared by both modes."""
