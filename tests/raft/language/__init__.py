"""The language of Raft transcripts: lists of commands with the exact text that each must produce."""
