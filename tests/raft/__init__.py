"""Tests of the Raft core: transcripts, pure parts against naive twins, and small simulated groups."""
