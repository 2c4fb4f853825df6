"""Checks our mail with a third-party server and parser. Run by mail_e2e.sh."""

import email
import email.policy
import html.parser
import json
import logging
import os
import pathlib
import re
import socket
import ssl
import subprocess
import sys

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

PASSWORD = "pässwörd with spaces"
RTL = "\u202e"


def alert(subject, status="firing", **more):
    return {
        "event": "e-" + subject[:20],
        "status": status,
        "severity": more.get("severity", "warning"),
        "labels": {
            "alertname": more.get("alertname", "ProxymeterUserExpiry"),
            "target": more.get("target", "home"),
            "kind": "user",
            "subject": subject,
            "step": "3d",
        },
        "annotations": {
            "summary": "User expires soon.",
            "description": more.get("description", f"User {subject} expires."),
            "remaining": "2d 4h",
            "reason": more.get("reason", ""),
        },
        "starts_at": 1_795_000_000_000,
        "ends_at": 1_795_003_600_000 if status == "resolved" else None,
    }


def notice(number, *alerts, receiver="ops", group="home"):
    return {
        "id": f"0b9d6f3e-{number}",
        "receiver": receiver,
        "group": group,
        "group_labels": {"target": "home"},
        "reason": "new_alerts",
        "alerts": list(alerts),
        "covers": [],
        "created_at": 1_795_000_030_000,
    }


# Each: a notice, its subject line, and lines that its text holds.
CASES = [
    (
        notice(1, alert("小明的高级套餐", target="香港节点")),
        "香港节点: user 小明的高级套餐 expires within 3 days",
        ["New", "* User 小明的高级套餐 expires.", "  warning"],
    ),
    (
        notice(2, alert("کاربر شماره یک می\u200cخواهد", target="سرور تهران")),
        "\u2068سرور تهران\u2069: user \u2068کاربر شماره یک می\u200cخواهد\u2069 expires within 3 days",
        ["* User کاربر شماره یک می\u200cخواهد expires."],
    ),
    (
        notice(3, alert("Пользователь Иван Иванович Очень-Длинное Имя", target="Москва, дом", severity="critical")),
        "Москва, дом: user Пользователь Иван Иванович Очень-Длинно… expires within 3 days",
        ["* User Пользователь Иван Иванович Очень-Длинное Имя expires.", "  critical"],
    ),
    (
        notice(4, alert("alice", status="resolved", description="User alice runs until 24 January 2027 (renewed).")),
        "home: user alice runs until 24 January 2027",
        ["Resolved", "* User alice runs until 24 January 2027 (renewed).", "  ended 18 November 2026, 12:06 UTC"],
    ),
    (
        notice(5, *[alert(f"user {n}") for n in range(60)], group="crowd"),
        "home: 60 users expire within 3 days (user 0, user 1, user 2 and 57 more)",
        ["… and 10 more that are firing."],
    ),
    (
        notice(6, alert("x\r\nBcc: thief@example.org\r\n\r\nbody")),
        "home: user x Bcc: thief@example.org body expires within 3 days",
        ["* User x Bcc: thief@example.org body expires."],
    ),
    (
        notice(7, alert("<script>alert('1')</script><img src=//example.org/x>\"&amp;")),
        "home: user <script>alert('1')</script><img src=//e… expires within 3 days",
        ["* User <script>alert('1')</script><img src=//example.org/x>\"&amp; expires."],
    ),
    (
        notice(8, alert(f"{RTL}gnp.exe\0\x07\x1b[31m\u2028")),
        "home: user \ufffdgnp.exe [31m expires within 3 days",
        ["* User \ufffdgnp.exe [31m expires."],
    ),
    (
        notice(9, alert("=?utf-8?b?aGFja2Vk?=")),
        "home: user = ?utf-8?b?aGFja2Vk?= expires within 3 days",
        ["* User =?utf-8?b?aGFja2Vk?= expires."],
    ),
    (
        notice(10, alert("n" * 10_240, description=". " * 5_000)),
        "home: user " + "n" * 39 + "… expires within 3 days",
        ["* " + ". " * 249 + ".…"],
    ),
    (
        notice(11, alert("user", description="=.=" * 150)),
        "home: user user expires within 3 days",
        ["* " + "=.=" * 150],
    ),
]


class MailServer(Controller):
    def _trigger_server(self):
        """Calls at the port that the server got, where aiosmtpd would call at the one it asked for, which is 0."""
        with socket.create_connection(self.address(), timeout=10) as connection:
            connection.recv(1000)

    def address(self):
        return self.server.sockets[0].getsockname()[:2]


class Inbox:
    def __init__(self):
        self.taken = []

    async def handle_DATA(self, server, session, envelope):
        self.taken.append((session.ssl is not None, session.authenticated, envelope))
        return "250 2.0.0 Ok: queued as 1"


def authenticate(server, session, envelope, mechanism, data):
    good = isinstance(data, LoginPassword) and (data.login, data.password) == (b"meter", PASSWORD.encode())
    return AuthResult(success=good, handled=False)


class Page(html.parser.HTMLParser):
    """The tags of a page, its text, and whatever would make a reader fetch something."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.words, self.fetched = set(), "", []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.fetched += [pair for pair in attributes if pair[0] in ("src", "href", "background", "srcset")]
        self.fetched += [pair for pair in attributes if "url(" in (pair[1] or "")]

    def handle_data(self, data):
        self.words += data


def check(case, taken):
    wanted, subject, lines = case
    secure, authenticated, envelope = taken
    assert secure and authenticated
    assert envelope.mail_from == "meter@example.com"
    assert envelope.rcpt_tos == ["duty@example.com", "ops@example.net"], envelope.rcpt_tos

    raw = envelope.original_content
    assert raw.isascii()
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)", raw), "a bare CR or LF"
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    head = raw.split(b"\r\n\r\n", 1)[0]
    # As long as a line with an encoded word may be (RFC 2047, 2).
    assert max(map(len, head.split(b"\r\n"))) <= 76, head

    mail = email.message_from_bytes(raw, policy=email.policy.default)
    defects = [part.defects for part in mail.walk()] + [value.defects for value in mail.values()]
    assert not any(defects), defects
    assert mail["Subject"] == subject, (mail["Subject"], subject)
    assert mail.keys() == [
        "Date", "From", "To", "Subject", "Message-ID", "In-Reply-To", "References", "Auto-Submitted",
        "MIME-Version", "Content-Type",
    ], mail.keys()
    assert mail["Date"].datetime.isoformat() == "2026-11-18T11:07:10+00:00"
    assert mail["Message-ID"] == f"<{wanted['id']}@example.com>"
    assert mail["References"] == mail["In-Reply-To"]
    assert re.fullmatch(r"<[0-9a-f]{32}@example\.com>", mail["References"])
    assert mail["Auto-Submitted"] == "auto-generated"
    people = [(one.display_name, one.addr_spec) for key in ("From", "To") for one in mail[key].addresses]
    assert people == [
        ("Счётчик", "meter@example.com"), ("值班", "duty@example.com"), ("", "ops@example.net"),
    ], people

    assert mail.get_content_type() == "multipart/alternative"
    parts = list(mail.iter_parts())
    assert [part.get_content_type() for part in parts] == ["text/plain", "text/html"]
    assert all(part.get_content_charset() == "utf-8" for part in parts)
    text, page = [part.get_content() for part in parts]
    for line in lines:
        assert line in text.splitlines(), f"{line!r} is not in\n{text}"
    for harm in (RTL, "\0", "\x1b"):
        assert harm not in text + page

    page = Page(page)
    known = {"html", "head", "meta", "title", "body", "h2", "p", "b", "a", "div"}
    assert page.tags <= known, page.tags - known
    assert not page.fetched, page.fetched
    rows = [line.removeprefix("* ") for line in text.splitlines() if line.startswith("* ")]
    assert len(rows) == len(wanted["alerts"][:50]), rows
    for row in rows:
        assert row in page.words, (row, page.words)
    return mail


def main(send_mail, work):
    work = pathlib.Path(work)
    notices = work / "notices.json"
    notices.write_text(json.dumps([case[0] for case in CASES]))
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(work / "certificate.pem", work / "key.pem")
    inbox = Inbox()
    # It warns of a name that it uses itself.
    logging.getLogger("mail.log").setLevel(logging.ERROR)
    server = MailServer(
        inbox, hostname="127.0.0.1", port=0, server_kwargs={
            "tls_context": tls, "require_starttls": True,
            "authenticator": authenticate, "auth_required": True, "auth_require_tls": True,
        },
    )
    server.start()
    try:
        port = server.address()[1]
        run = lambda password: subprocess.run(
            [send_mail, str(port), work / "certificate.pem", notices],
            env={**os.environ, "MAIL_PASSWORD": password}, capture_output=True, text=True, timeout=120,
        )
        refused = run("wrong")
        assert refused.returncode != 0 and "535" in refused.stderr, refused.stderr
        assert not inbox.taken
        sent = run(PASSWORD)
        assert sent.returncode == 0, sent.stderr
        assert PASSWORD not in sent.stderr + sent.stdout
    finally:
        server.stop()

    assert len(inbox.taken) == len(CASES)
    mails = [check(case, taken) for case, taken in zip(CASES, inbox.taken)]
    threads = {case[0]["group"]: mail["References"] for case, mail in zip(CASES, mails)}
    assert len(set(threads.values())) == 2 and len({mail["References"] for mail in mails}) == 2, threads
    print(f"{len(mails)} mails read back as they were meant")


if __name__ == "__main__":
    main(*sys.argv[1:])
