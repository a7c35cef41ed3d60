"""The plain TCP gateway: bytes between clients and members, untouched, as `etcd gateway start` relays them."""
