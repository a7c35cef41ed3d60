"""What log entries do to the store; the same on every member."""
