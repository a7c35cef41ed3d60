"""Does: loads the descriptor set beside it into a pool of our own.

Generated code would register etcd's names in protobuf's default pool, where they clash with an etcd client that lives
in the same process and has them too. It would also be tied to the protobuf version it was generated for. A descriptor
set in a private pool has neither trouble, and the messages are the same C classes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from google.protobuf.descriptor_pool import DescriptorPool

_PATH: Final = Path(__file__).with_name("descriptors.binpb")

#: A FileDescriptorSet is `repeated FileDescriptorProto file = 1`: this tag before each file.
_FILE_TAG: Final = 0x0A


def _split(data: bytes) -> list[bytes]:
    """The serialised files of a FileDescriptorSet. Done by hand, so that descriptor_pb2 need not be imported."""
    files = []
    position = 0
    while position < len(data):
        assert data[position] == _FILE_TAG, "descriptors.binpb is no FileDescriptorSet"
        position += 1
        length = shift = 0
        while True:
            byte = data[position]
            position += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        files.append(data[position : position + length])
        position += length
    return files


def _load() -> Any:
    pool: Any = DescriptorPool()
    for file in _split(_PATH.read_bytes()):
        pool.AddSerializedFile(file)
    return pool


#: Any, because what the stubs say of descriptors differs between protobuf's releases.
POOL: Final[Any] = _load()
