"""Command-line tools other than the two servers."""
