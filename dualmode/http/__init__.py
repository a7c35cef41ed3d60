"""HTTP/1.1 and HTTP/2 connections without I/O: bytes in, events out; calls in, bytes out."""
