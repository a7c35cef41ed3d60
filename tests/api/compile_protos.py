"""Does: compiles dualmode/api/protos into the one descriptor set that the package loads (`make protos`).

A development tool: the package itself needs protobuf's runtime only, whatever its version.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

from grpc_tools import protoc

PROTOS: Final = Path(__file__).parents[2] / "dualmode" / "api" / "protos"
DESCRIPTORS: Final = PROTOS.parent / "descriptors.binpb"


def compile_protos() -> bytes:
    """The serialised FileDescriptorSet, every import before who imports it. Comments are left out."""
    files = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto"))
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "set.binpb"
        status = protoc.main(
            ["protoc", f"--proto_path={PROTOS}", "--include_imports", f"--descriptor_set_out={output}", *files]
        )
        if status != 0:
            raise SystemExit(status)
        return output.read_bytes()


if __name__ == "__main__":
    DESCRIPTORS.write_bytes(compile_protos())
