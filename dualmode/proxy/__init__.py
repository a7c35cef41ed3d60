"""The forwarding gateway: endpoints, health, forwarding."""
