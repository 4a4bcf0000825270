"""Certificates for loopback, made when a test needs them by the openssl command."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

CONFIG = """
[ca]
default_ca = d
[d]
database = {folder}/index.txt
new_certs_dir = {folder}
serial = {folder}/serial
default_md = sha256
policy = p
copy_extensions = copy
unique_subject = no
[p]
commonName = supplied
[req]
distinguished_name = n
[n]
"""


class Authority:
    """A certificate authority of our own, in a folder."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("openssl") is None:
            pytest.skip("the openssl command is not here to make a certificate")
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "index.txt").touch()
        (folder / "serial").write_text("01\n")
        (folder / "c.cnf").write_text(CONFIG.format(folder=folder))
        self._run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=ca",
                  "-keyout", "ca.key", "-out", "ca.pem")  # fmt: skip

    def _run(self, *arguments: str) -> None:
        command = ["openssl", arguments[0], "-config", "c.cnf", *arguments[1:]]
        subprocess.run(command, cwd=self._folder, check=True, capture_output=True, timeout=30)

    def server(self, expired: bool = False) -> ssl.SSLContext:
        """A listener's context for 127.0.0.1, signed by this authority."""
        self._run("req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=loopback",
                  "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "s.key",
                  "-out", "s.csr")  # fmt: skip
        days = ("-startdate", "20200101000000Z", "-enddate", "20200201000000Z") if expired else (
            "-days", "2")  # fmt: skip
        self._run("ca", "-batch", "-notext", "-in", "s.csr", "-out", "s.pem", "-keyfile", "ca.key",
                  "-cert", "ca.pem", *days)  # fmt: skip
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._folder / "s.pem", self._folder / "s.key")
        return context

    def trust(self) -> ssl.SSLContext:
        """A client's context that trusts this authority."""
        return ssl.create_default_context(cafile=str(self._folder / "ca.pem"))
