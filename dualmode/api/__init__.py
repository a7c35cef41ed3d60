"""Our .proto files and the one module that loads them."""
