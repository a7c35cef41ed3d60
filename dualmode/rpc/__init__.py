"""gRPC framing, status, deadlines, the method table and the JSON gateway."""
