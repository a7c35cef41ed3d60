"""Who a client with a certificate is at the members, where the certificate itself cannot go."""
