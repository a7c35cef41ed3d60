"""A day's worth of leases and watches on one member, on a clock that does not wait: memory stays flat."""
