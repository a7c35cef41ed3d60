"""Does: `dualmode certs`: makes certificates for development in a directory, and shows what is in one.

What is there is kept, so that a second call adds a user and breaks nobody; `--force` makes everything anew.
"""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import click
from cryptography import x509

from dualmode.ctl.certificates import CLIENT, SERVER, Pair, describe, issue, load_pair, make_authority

#: The common name becomes part of a file's name.
_COMMON_NAME: Final = re.compile(r"[A-Za-z0-9_@+.-]{1,64}")


def main(arguments: Sequence[str]) -> int:
    """Runs `dualmode certs ...` and gives the exit code."""
    try:
        certs.main(list(arguments), prog_name="dualmode certs", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.exceptions.Exit as error:
        return error.exit_code
    return 0


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def certs() -> None:
    """Certificates for development. They are not for production: the authority's key lies beside them."""


@certs.command()
@click.option("--dir", "directory", default="certs", show_default=True, type=click.Path(path_type=Path))
@click.option(
    "--hosts", default="localhost,127.0.0.1,::1", show_default=True, help="Names and addresses of the server."
)
@click.option("--client-cn", "users", multiple=True, default=("root",), show_default=True, help="A user; repeatable.")
@click.option(
    "--days", default=365, show_default=True, type=click.IntRange(1, 3650), help="How long they are good for."
)
@click.option("--force", is_flag=True, help="Make everything anew, the authority too.")
def create(directory: Path, hosts: str, users: tuple[str, ...], days: int, force: bool) -> None:
    """Makes an authority, and certificates for a server, its peers, a proxy, and users."""
    now = datetime.datetime.now(datetime.UTC)
    names = [host.strip() for host in hosts.split(",") if host.strip()]
    if not names:
        raise click.BadParameter("at least one name or address", param_hint="--hosts")
    for user in users:
        if not _COMMON_NAME.fullmatch(user):
            raise click.BadParameter(f"{user!r}: letters, digits and _@+.- only, 64 at most", param_hint="--client-cn")
    client_names = [f"client-{user}" for user in dict.fromkeys(users)]
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        maker = _Maker(directory, force)
        maker.check("ca", ["server", "peer", "proxy", *client_names])
        authority = maker.take("ca", partial(make_authority, now, days))
        for name in ("server", "peer"):
            maker.take(name, partial(issue, authority, name, names, SERVER, now, days))
        # Of a proxy toward members: it must not name a user, who all of the proxy's clients would be.
        maker.take("proxy", partial(issue, authority, "", (), CLIENT, now, days))
        for name, user in zip(client_names, dict.fromkeys(users), strict=True):
            maker.take(name, partial(issue, authority, user, (), CLIENT, now, days))
    except OSError as error:
        raise click.ClickException(f"{error.filename or directory}: {error.strerror}") from error
    except ValueError as error:
        raise click.ClickException(str(error)) from error


@certs.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def show(file: Path) -> None:
    """Prints what is in a PEM file of certificates."""
    try:
        certificates = x509.load_pem_x509_certificates(file.read_bytes())
    except (ValueError, OSError) as error:
        raise click.ClickException(f"{file}: holds no PEM certificate") from error
    now = datetime.datetime.now(datetime.UTC)
    for certificate in certificates:
        for label, text in describe(certificate, now):
            click.echo(f"{label + ':':10} {text}")
        if certificate is not certificates[-1]:
            click.echo()


class _Maker:
    """Takes pairs from the directory, or makes and writes them."""

    def __init__(self, directory: Path, force: bool) -> None:
        self._directory = directory
        self._force = force

    def check(self, authority: str, names: Sequence[str]) -> None:
        """That nothing would be overwritten, and that all would belong to one authority. Raises ValueError."""
        if self._force:
            return
        for name in (authority, *names):
            certificate, key = self._certificate(name), self._key(name)
            if certificate.exists() != key.exists():
                there, missing = (certificate, key) if certificate.exists() else (key, certificate)
                raise ValueError(f"{there} is there and {missing} is not: put it back, or make all anew with --force")
        if not self._certificate(authority).exists():
            orphans = [str(self._certificate(name)) for name in names if self._certificate(name).exists()]
            if orphans:
                raise ValueError(f"{orphans[0]} is there, its authority is not: put it back, or use --force")

    def take(self, name: str, make: Callable[[], Pair]) -> Pair:
        """The pair of that name. Raises ValueError for one that is there and is none, OSError."""
        certificate, key = self._certificate(name), self._key(name)
        if certificate.exists() and not self._force:
            click.echo(f"kept {certificate}")
            try:
                return load_pair(certificate.read_bytes(), key.read_bytes())
            except ValueError as error:
                raise ValueError(f"{certificate} with {key}: {error}") from error
        pair = make()
        _write(key, pair.key_pem, 0o600)
        _write(certificate, pair.certificate_pem, 0o644)
        click.echo(f"made {certificate} and {key}")
        return pair

    def _certificate(self, name: str) -> Path:
        return self._directory / f"{name}.pem"

    def _key(self, name: str) -> Path:
        return self._directory / f"{name}-key.pem"


def _write(file: Path, data: bytes, mode: int) -> None:
    """Whole or not at all, and never readable by others on the way."""
    making = file.with_suffix(".tmp")
    with open(os.open(making, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as stream:
        os.fchmod(stream.fileno(), mode)
        stream.write(data)
    making.replace(file)
