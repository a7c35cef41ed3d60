"""Consensus as a pure state machine; it knows no files, no sockets, no trio."""
