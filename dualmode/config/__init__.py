"""Options declared once; flags, environment, YAML file and documentation come from that table."""
