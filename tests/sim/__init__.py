"""The simulation: whole members on a simulated clock, network and disk, all from one seed (docs/testing.md)."""
