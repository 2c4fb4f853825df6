#!/bin/sh
# Sends mail to a third-party server, aiosmtpd, which requires STARTTLS and a login, and reads it with a third-party
# parser, Python's email package. Needs cargo, openssl, and Python 3.11 with access to PyPI.
set -eu
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'aiosmtpd==1.4.6'
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 \
    -addext 'subjectAltName = IP:127.0.0.1' -addext 'basicConstraints = critical, CA:FALSE' \
    -keyout "$work/key.pem" -out "$work/certificate.pem" 2>"$work/openssl.log" || { cat "$work/openssl.log"; exit 1; }

cargo build --quiet --example send_mail
"$work/venv/bin/python" scripts/mail_e2e.py "${CARGO_TARGET_DIR:-target}/debug/examples/send_mail" "$work"
