"""Does: server reflection, by which tools such as grpcurl learn what a server offers. Answered from our descriptors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dualmode.api import reflectionpb, reflectionpb_v1alpha
from dualmode.api.descriptors import POOL
from dualmode.errors import Code
from dualmode.rpc.calls import Kind, Method, ServerStream
from dualmode.rpc.decode import decode


class ReflectionService:
    """Both versions of the protocol, which differ in their name only."""

    def __init__(self, services: Iterable[str]) -> None:
        """`services` by full name, without reflection itself."""
        self._services = sorted({*services, *(f"{name}.ServerReflection" for name in _PACKAGES)})

    def methods(self) -> list[Method]:
        """What the method table takes."""
        return [self._method(name, package) for name, package in _PACKAGES.items()]

    def _method(self, name: str, package: Any) -> Method:
        async def info(stream: ServerStream) -> None:
            while (message := await stream.receive()) is not None:
                request = decode(package.ServerReflectionRequest, message)
                response = answer(package, request, self._services)
                await stream.send(bytes(response.SerializeToString()))

        request, response = package.ServerReflectionRequest, package.ServerReflectionResponse
        return Method(f"{name}.ServerReflection", "ServerReflectionInfo", Kind.BIDI, request, response, info)


_PACKAGES = {"grpc.reflection.v1": reflectionpb, "grpc.reflection.v1alpha": reflectionpb_v1alpha}


def answer(package: Any, request: Any, services: list[str]) -> Any:
    """The response to one request. What is not found is an error in the answer, not of the stream."""
    question = request.WhichOneof("message_request")
    content: dict[str, Any]
    try:
        if question == "list_services":
            content = {"list_services_response": {"service": [{"name": name} for name in services]}}
        elif question == "file_by_filename":
            content = _files(POOL.FindFileByName(request.file_by_filename))
        elif question == "file_containing_symbol":
            content = _files(_file_of(request.file_containing_symbol))
        elif question == "all_extension_numbers_of_type":
            POOL.FindMessageTypeByName(request.all_extension_numbers_of_type)
            content = {"all_extension_numbers_response": {"base_type_name": request.all_extension_numbers_of_type}}
        elif question == "file_containing_extension":
            raise KeyError(f"extension of {request.file_containing_extension.containing_type}")
        else:
            content = _error(Code.INVALID_ARGUMENT, "the request asks for nothing")
    except KeyError:
        content = _error(Code.NOT_FOUND, f"not found: {_wanted(request, question)}")
    return package.ServerReflectionResponse(valid_host=request.host, original_request=request, **content)


def _file_of(symbol: str) -> Any:
    """The file that defines a symbol. protobuf's pools do not all know methods by themselves. Raises `KeyError`."""
    try:
        return POOL.FindFileContainingSymbol(symbol)
    except KeyError:
        service, _, method = symbol.rpartition(".")
        return POOL.FindServiceByName(service).methods_by_name[method].containing_service.file


def _wanted(request: Any, question: str) -> str:
    wanted = getattr(request, question)
    return wanted if isinstance(wanted, str) else str(wanted.containing_type)


def _error(code: Code, text: str) -> dict[str, Any]:
    return {"error_response": {"error_code": int(code), "error_message": text}}


def _files(file: Any) -> dict[str, Any]:
    """A file and all that it imports, every import before who imports it."""
    found: dict[str, bytes] = {}

    def add(one: Any) -> None:
        if one.name not in found:
            for dependency in one.dependencies:
                add(dependency)
            found[one.name] = one.serialized_pb

    add(file)
    return {"file_descriptor_response": {"file_descriptor_proto": list(found.values())}}
