"""TLS certificates made with openssl: valid ones and each kind of invalid."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


@dataclass(frozen=True)
class Certificate:
    path: Path
    key: Path
    authority: Path
    """Its issuer; the certificate itself if it is self-signed."""


def issue(
    folder: Path,
    *,
    name: str = "IP:127.0.0.1",
    until: str | None = None,
    days: int = 90,
) -> Certificate:
    """Issue a certificate signed by an authority of its own.

    It is valid for `name`, until `until` (YYYYMMDDHHMMSSZ, which may have passed) or
    for a number of days.
    """
    authority, authority_key = folder / "ca.pem", folder / "ca.key"
    _openssl("req", "-x509", *_KEY, "-days", "365", "-subj", "/CN=Tests",
             "-keyout", authority_key, "-out", authority)  # fmt: skip
    key, request, path = folder / "key.pem", folder / "request", folder / "cert.pem"
    _openssl("req", *_KEY, "-subj", "/CN=shop", "-addext", f"subjectAltName={name}",
             "-keyout", key, "-out", request)  # fmt: skip
    (folder / "index").write_text("")
    (folder / "serial").write_text("01")
    (folder / "ca.cnf").write_text(
        f"[ca]\ndefault_ca=d\n[d]\ndatabase={folder}/index\nserial={folder}/serial\n"
        f"new_certs_dir={folder}\ndefault_md=sha256\npolicy=p\n"
        "copy_extensions=copy\nunique_subject=no\n[p]\ncommonName=supplied\n"
    )
    ends = ["-enddate", until] if until else ["-days", str(days)]
    starts = ["-startdate", "20200101000000Z"] if until else []
    _openssl("ca", "-batch", "-config", folder / "ca.cnf", "-cert", authority,
             "-keyfile", authority_key, "-in", request, "-out", path, "-notext",
             *starts, *ends)  # fmt: skip
    return Certificate(path, key, authority)


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
