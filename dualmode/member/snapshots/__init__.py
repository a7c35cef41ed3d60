"""How a member that is too far behind for the log gets the whole state from the leader."""
