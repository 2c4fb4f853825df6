"""A Marzban 0.8.4 panel: rows like recorded ones, all of the same length, so that a row can be replaced in its page."""

import datetime
import json
import re
import time
import urllib.parse

GIB = 2**30
ROW = 3870
CHANGE = 10  # One user in so many moves traffic from one tick to the next.

LINKS = [
    "vless://{id}@de1.example.org:8443?security=reality&type=tcp&headerType=&flow=xtls-rprx-vision&path=&host=&"
    "sni=www.example.org&fp=chrome&pbk=7Xy0nFSo3M4mWQz0GIGmM1aLrDJHZ6pfhq7ImvzLFBQ&sid=f1a2b3c4d5e6f708"
    "#%F0%9F%87%A9%F0%9F%87%AA%20DE%20%28{name}%29%20%5BVLESS%20-%20tcp%5D",
    "vless://{id}@nl2.example.org:443?security=reality&type=tcp&headerType=&flow=xtls-rprx-vision&path=&host=&"
    "sni=www.example.org&fp=chrome&pbk=7Xy0nFSo3M4mWQz0GIGmM1aLrDJHZ6pfhq7ImvzLFBQ&sid=f1a2b3c4d5e6f708"
    "#%F0%9F%87%B3%F0%9F%87%B1%20NL%20%E2%9C%85%20%E2%88%9E%20%28{name}%29",
    "vless://{id}@de1.example.org:2053?security=reality&type=grpc&headerType=&serviceName=svc&authority=&mode=gun&"
    "sni=www.example.org&fp=chrome&pbk=7Xy0nFSo3M4mWQz0GIGmM1aLrDJHZ6pfhq7ImvzLFBQ&sid=f1a2b3c4d5e6f708"
    "#%F0%9F%87%A9%F0%9F%87%AA%20DE%20%28{name}%29%20%5BVLESS%20-%20grpc%5D",
    "vless://{id}@nl2.example.org:443?security=reality&type=grpc&headerType=&serviceName=svc&authority=&mode=gun&"
    "sni=www.example.org&fp=chrome&pbk=7Xy0nFSo3M4mWQz0GIGmM1aLrDJHZ6pfhq7ImvzLFBQ&sid=f1a2b3c4d5e6f708"
    "#%F0%9F%87%B3%F0%9F%87%B1%20NL%20%E2%9C%85%20%E2%88%9E%20%28{name}%29",
    *["vmess://eyJhZGQiOiAiZGUxLmV4YW1wbGUub3JnIiwgImFpZCI6ICIwIiwgImhvc3QiOiAiY2RuLmV4YW1wbGUub3JnIiwgImlkIjogIjEzYzZh"
    "YmI5LWZlMjgtNDhhNC04NWRhLTE0YzE5NmFlZDVkYSIsICJuZXQiOiAid3MiLCAicGF0aCI6ICIvdm1lc3MiLCAicG9ydCI6IDgwODIsICJwcyI6"
    "ICJcdWQ4M2NcdWRkZTlcdWQ4M2NcdWRkZWEgREUgW1ZNZXNzIC0gd3NdIiwgInNjeSI6ICJhdXRvIiwgInRscyI6ICJub25lIiwgInYiOiAiMiJ9"] * 2,
    "trojan://{secret}@de1.example.org:8083?security=none&type=ws&headerType=&path=%2Ftrojan&host=cdn.example.org"
    "#%F0%9F%87%A9%F0%9F%87%AA%20DE%20%28{name}%29%20%5BTrojan%20-%20ws%5D",
    "trojan://{secret}@nl2.example.org:443?security=none&type=ws&headerType=&path=%2Ftrojan&host="
    "#%F0%9F%87%B3%F0%9F%87%B1%20NL%20%E2%9C%85%20%E2%88%9E%20%28{name}%29",
    "ss://Y2hhY2hhMjAtaWV0Zi1wb2x5MTMwNTplS3ZhRDhOMTJNdWEzSVBNd3F4SG5B@de1.example.org:1080"
    "#%F0%9F%87%A9%F0%9F%87%AA%20DE%20%28{name}%29%20%5BShadowsocks%20-%20tcp%5D",
    "ss://Y2hhY2hhMjAtaWV0Zi1wb2x5MTMwNTplS3ZhRDhOMTJNdWEzSVBNd3F4SG5B@nl2.example.org:443"
    "#%F0%9F%87%B3%F0%9F%87%B1%20NL%20%E2%9C%85%20%E2%88%9E%20%28{name}%29",
]


class Marzban:
    """So many users, of whom `firing` in a hundred expire within two days, so that an alert fires for each."""

    name = "marzban"
    kept = "users-*"

    def __init__(self, users, firing=21):
        self.users, self.firing = users, firing
        self.begins = int(time.time())
        self.ticks = [0] * users
        self.pages = {}
        self.pieces = template()

    def config(self, target, url, extra=""):
        return f'[marzban.{target}]\nurl = "{url}"\nusername = "root"\npassword = "root"\n{extra}'

    def files(self):
        """Where nginx finds kept answers, by path."""
        return {"/api/users": "/users-$arg_offset-$arg_limit"}

    def fixed(self):
        """Answers that stay the same, by path."""
        fires = sum(self.fires(user) for user in range(self.users))
        admin = {"username": "root", "is_sudo": True, "telegram_id": None, "discord_webhook": None, "users_usage": 751890983937}
        # It names no end, so it stays valid.
        token = {"access_token": "opaque", "token_type": "bearer"}
        usage = {"node_id": None, "node_name": "Master", "uplink": 40162509024, "downlink": 388614703172}
        inbound = {"tag": "VLESS TCP REALITY", "protocol": "vless", "network": "tcp", "tls": "reality", "port": 8443}
        system = {
            "version": "0.8.4", "mem_total": 25276514304, "mem_used": 349954048, "cpu_cores": 2, "cpu_usage": 4.1,
            "total_user": self.users, "online_users": fires, "users_active": self.users, "users_on_hold": 0,
            "users_disabled": 0, "users_expired": 0, "users_limited": 0, "incoming_bandwidth": 1234619773510,
            "outgoing_bandwidth": 9877162513007, "incoming_bandwidth_speed": 376, "outgoing_bandwidth_speed": 376,
        }
        return {
            "/api/admin/token": token, "/api/admin": admin, "/api/admins": [admin], "/api/system": system,
            "/api/core": {"version": "25.1.1", "started": True, "logs_websocket": "/api/core/logs"}, "/api/nodes": [],
            "/api/nodes/usage": {"usages": [usage]}, "/api/inbounds": {"vless": [inbound]},
        }

    def fires(self, user):
        # Spread over the pages.
        return user * 37 % 100 < self.firing

    def row(self, user):
        tick = self.ticks[user]
        day = 86_400
        online = self.begins + 5 * tick if tick else self.begins - user % 40 * day - 3600
        until = self.begins + (2 * day if self.fires(user) else (20 + user % 300) * day)
        used = 10 * GIB + user * 7919 % 50 * GIB + tick * 5_000_000
        values = {
            "name": f"user_{user:07}", "online": datetime.datetime.fromtimestamp(online, datetime.UTC).isoformat()[:19],
            "expire": until, "used": used, "lifetime": used + 200 * GIB, "id": f"{user:012x}",
        }
        return b"".join(piece if is_text else str(values[piece]).encode() for is_text, piece in self.pieces)

    def ends_walk(self, path):
        """Whether a request is the last one of reading the whole list."""
        found = re.search(r"/api/users\?offset=(\d+)&limit=(\d+)", path)
        return bool(found) and int(found[1]) + int(found[2]) > self.users

    def is_list(self, path):
        return "/api/users?offset=" in path

    def answer(self, query):
        """A page of the list: its name if it is kept, and its bytes."""
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(query).query)
        if names := query.get("username"):
            users, kept = [int(name.removeprefix("user_")) for name in names], None
        else:
            offset, limit = int(query.get("offset", [0])[0]), int(query["limit"][0])
            users = range(min(offset, self.users), min(offset + limit, self.users))
            kept = f"users-{offset}-{limit}"
            if "status" in query:
                kept = None
        head = b'{"users":['
        page = head + b",".join(map(self.row, users)) + b'],"total":%d}' % self.users
        if kept:
            self.pages[kept] = users
        return kept, page

    def tick(self, number):
        """Moves traffic. Yields what to replace: a page, a place in it, and a row."""
        changed = range(number % CHANGE, self.users, CHANGE)
        for user in changed:
            self.ticks[user] = number
        for page, users in self.pages.items():
            if users:
                first = users.start + (number - users.start) % CHANGE
                for user in range(first, users.stop, CHANGE):
                    yield page, len(b'{"users":[') + (user - users.start) * (ROW + 1), self.row(user)


def template():
    """The pieces of a row: (True, text) or (False, the name of a value)."""
    mark = "\0{}\0"
    of = {name: mark.format(name) for name in ("name", "online", "expire", "used", "lifetime", "id")}
    uuid = f"a469cbab-a1ce-478d-933a-{of['id']}"
    numbers = {"expire": of["expire"], "used_traffic": of["used"], "lifetime_used_traffic": of["lifetime"]}
    secret = "1rPMYKa0NI8aJ0roEtgGcw"
    row = {
        "proxies": {
            "vless": {"id": uuid, "flow": "xtls-rprx-vision"}, "vmess": {"id": uuid},
            "trojan": {"password": secret, "flow": ""},
            "shadowsocks": {"password": "eKvaD8N12Mua3IPMwqxHnA", "method": "chacha20-ietf-poly1305"},
        },
        "expire": numbers["expire"], "data_limit": 100 * GIB, "data_limit_reset_strategy": "no_reset",
        "inbounds": {
            "vless": ["VLESS TCP REALITY", "VLESS GRPC REALITY"], "vmess": ["VMess Websocket"],
            "trojan": ["Trojan Websocket"], "shadowsocks": ["Shadowsocks TCP"],
        },
        "note": "\0pad\0", "sub_updated_at": None, "sub_last_user_agent": None, "online_at": of["online"],
        "on_hold_expire_duration": None, "on_hold_timeout": None, "auto_delete_in_days": None, "next_plan": None,
        "username": of["name"], "status": "active", "used_traffic": numbers["used_traffic"],
        "lifetime_used_traffic": numbers["lifetime_used_traffic"], "created_at": "2026-01-21T02:19:44.475411",
        "links": [link.format(id=uuid, name=of["name"], secret=secret) for link in LINKS],
        "subscription_url": f"https://sub.example.org/sub/{of['name']}kxibRNg3jU",
        "excluded_inbounds": {"vless": [], "vmess": [], "trojan": [], "shadowsocks": []},
        "admin": {"username": "root", "is_sudo": True, "telegram_id": None, "discord_webhook": None, "users_usage": 751890983937},
    }
    text = json.dumps(row, separators=(",", ":"), ensure_ascii=False).replace("\\u0000", "\0")
    for number in numbers.values():
        text = text.replace(f'"{number}"', number)
    widths = {"name": 12, "online": 19, "expire": 10, "used": 11, "lifetime": 12, "id": 12}
    words = text.split("\0")
    length = sum(widths.get(word, len(word.encode())) if place % 2 else len(word.encode()) for place, word in enumerate(words))
    filler = ROW - length + len("pad")
    pieces = [(place % 2 == 0, word) for place, word in enumerate(words)]
    filled = [(True, "n" * filler) if piece == (False, "pad") else piece for piece in pieces]
    return [(True, word.encode()) if is_text else (False, word) for is_text, word in filled]
