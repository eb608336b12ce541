"""What tests of encrypted connections share."""

import shutil
import subprocess
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a certificate of this machine that nobody trusts, with its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("there is no openssl to make a certificate with")
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    made = [openssl, "req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"]
    made += ["-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", "/CN=127.0.0.1"]
    made += ["-addext", "subjectAltName=IP:127.0.0.1"]
    made += ["-keyout", f"{file}.key", "-out", f"{file}.crt"]
    subprocess.run(made, check=True, capture_output=True)
    file.write_text(Path(f"{file}.crt").read_text() + Path(f"{file}.key").read_text())
    return file
