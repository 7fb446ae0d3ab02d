"""Certificates that tests make."""

import ipaddress
import subprocess


def alternative(name):
    """A host's name or address, as a certificate says it."""
    try:
        return f"IP:{ipaddress.ip_address(name)}"
    except ValueError:
        return f"DNS:{name}"


def make_certificate(folder, name, *names):
    """A self-signed certificate for host names and addresses; the paths of certificate and key."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", f"/CN={name}", "-addext", f"subjectAltName={','.join(map(alternative, names))}", "-keyout", str(key),
         "-out", str(certificate)], check=True, capture_output=True)
    key.chmod(0o600)
    return certificate, key
