"""Listeners, TLS, sniffing, the mux and the connection loop: what both modes serve their clients with."""
