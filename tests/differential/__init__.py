"""The same random work on two servers, answers compared field by field: `python -m tests.differential A_URL B_URL`."""
