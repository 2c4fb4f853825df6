"""A Marzban 0.8.4 panel, with rows like recorded ones."""

import datetime
import re
import urllib.parse

from .population import GIB, Population, Template

ROW = 3870  # The bytes of a recorded row.
HEAD = b'{"users":['
ADMIN = {
    "username": "root", "is_sudo": True, "telegram_id": None, "discord_webhook": None, "users_usage": 751890983937
}
LINKS = [
    "vless://a469cbab-a1ce-478d-933a-«id»@de1.example.org:8443?security=reality&type=tcp&headerType=&flow=xtls-rprx-vision&path=&host=&"
    "sni=www.example.org&fp=chrome&pbk=7Xy0nFSo3M4mWQz0GIGmM1aLrDJHZ6pfhq7ImvzLFBQ&sid=f1a2b3c4d5e6f708"
    "#%F0%9F%87%A9%F0%9F%87%AA%20DE%20%28«name»%29%20%5BVLESS%20-%20tcp%5D",
    "vless://a469cbab-a1ce-478d-933a-«id»@nl2.example.org:443?security=reality&type=tcp&headerType=&flow=xtls-rprx-vision&path=&host=&"
    "sni=www.example.org&fp=chrome&pbk=7Xy0nFSo3M4mWQz0GIGmM1aLrDJHZ6pfhq7ImvzLFBQ&sid=f1a2b3c4d5e6f708"
    "#%F0%9F%87%B3%F0%9F%87%B1%20NL%20%E2%9C%85%20%E2%88%9E%20%28«name»%29",
    "vless://a469cbab-a1ce-478d-933a-«id»@de1.example.org:2053?security=reality&type=grpc&headerType=&serviceName=svc&authority=&mode=gun&"
    "sni=www.example.org&fp=chrome&pbk=7Xy0nFSo3M4mWQz0GIGmM1aLrDJHZ6pfhq7ImvzLFBQ&sid=f1a2b3c4d5e6f708"
    "#%F0%9F%87%A9%F0%9F%87%AA%20DE%20%28«name»%29%20%5BVLESS%20-%20grpc%5D",
    "vless://a469cbab-a1ce-478d-933a-«id»@nl2.example.org:443?security=reality&type=grpc&headerType=&serviceName=svc&authority=&mode=gun&"
    "sni=www.example.org&fp=chrome&pbk=7Xy0nFSo3M4mWQz0GIGmM1aLrDJHZ6pfhq7ImvzLFBQ&sid=f1a2b3c4d5e6f708"
    "#%F0%9F%87%B3%F0%9F%87%B1%20NL%20%E2%9C%85%20%E2%88%9E%20%28«name»%29",
    *["vmess://eyJhZGQiOiAiZGUxLmV4YW1wbGUub3JnIiwgImFpZCI6ICIwIiwgImhvc3QiOiAiY2RuLmV4YW1wbGUub3JnIiwgImlkIjogIjEzYzZh"
    "YmI5LWZlMjgtNDhhNC04NWRhLTE0YzE5NmFlZDVkYSIsICJuZXQiOiAid3MiLCAicGF0aCI6ICIvdm1lc3MiLCAicG9ydCI6IDgwODIsICJwcyI6"
    "ICJcdWQ4M2NcdWRkZTlcdWQ4M2NcdWRkZWEgREUgW1ZNZXNzIC0gd3NdIiwgInNjeSI6ICJhdXRvIiwgInRscyI6ICJub25lIiwgInYiOiAiMiJ9"] * 2,
    "trojan://1rPMYKa0NI8aJ0roEtgGcw@de1.example.org:8083?security=none&type=ws&headerType=&path=%2Ftrojan&host=cdn.example.org"
    "#%F0%9F%87%A9%F0%9F%87%AA%20DE%20%28«name»%29%20%5BTrojan%20-%20ws%5D",
    "trojan://1rPMYKa0NI8aJ0roEtgGcw@nl2.example.org:443?security=none&type=ws&headerType=&path=%2Ftrojan&host="
    "#%F0%9F%87%B3%F0%9F%87%B1%20NL%20%E2%9C%85%20%E2%88%9E%20%28«name»%29",
    "ss://Y2hhY2hhMjAtaWV0Zi1wb2x5MTMwNTplS3ZhRDhOMTJNdWEzSVBNd3F4SG5B@de1.example.org:1080"
    "#%F0%9F%87%A9%F0%9F%87%AA%20DE%20%28«name»%29%20%5BShadowsocks%20-%20tcp%5D",
    "ss://Y2hhY2hhMjAtaWV0Zi1wb2x5MTMwNTplS3ZhRDhOMTJNdWEzSVBNd3F4SG5B@nl2.example.org:443"
    "#%F0%9F%87%B3%F0%9F%87%B1%20NL%20%E2%9C%85%20%E2%88%9E%20%28«name»%29",
]


USER = {
    "proxies": {
        "vless": {"id": "a469cbab-a1ce-478d-933a-«id»", "flow": "xtls-rprx-vision"},
        "vmess": {"id": "a469cbab-a1ce-478d-933a-«id»"},
        "trojan": {"password": "1rPMYKa0NI8aJ0roEtgGcw", "flow": ""},
        "shadowsocks": {"password": "eKvaD8N12Mua3IPMwqxHnA", "method": "chacha20-ietf-poly1305"},
    },
    "expire": "«#expire»", "data_limit": "«#limit»", "data_limit_reset_strategy": "no_reset",
    "inbounds": {
        "vless": ["VLESS TCP REALITY", "VLESS GRPC REALITY"], "vmess": ["VMess Websocket"],
        "trojan": ["Trojan Websocket"], "shadowsocks": ["Shadowsocks TCP"],
    },
    "note": "«note»", "sub_updated_at": None, "sub_last_user_agent": None, "online_at": "«#online»",
    "on_hold_expire_duration": None, "on_hold_timeout": None, "auto_delete_in_days": None, "next_plan": None,
    "username": "«name»", "status": "active", "used_traffic": "«#used»", "lifetime_used_traffic": "«#lifetime»",
    "created_at": "2026-01-21T02:19:44.475411", "links": LINKS,
    "subscription_url": "https://sub.example.org/sub/«name»kxibRNg3jU",
    "excluded_inbounds": {"vless": [], "vmess": [], "trojan": [], "shadowsocks": []}, "admin": ADMIN,
}


class Marzban(Population):
    name = "marzban"
    kept = "users-*"

    def __init__(self, users, firing=21):
        super().__init__(users, firing)
        self.template, self.room = Template(USER), 0
        # The notes make all rows of the same length.
        self.room = ROW - len(self.row(0)) + sum(map(len, self.varied(0)))
        self.pages = {}

    def config(self, target, url, more=""):
        return f'[marzban.{target}]\nurl = "{url}"\nusername = "root"\npassword = "root"\n{more}'

    def fixed(self):
        usage = {"node_id": None, "node_name": "Master", "uplink": 40162509024, "downlink": 388614703172}
        inbound = {"tag": "VLESS TCP REALITY", "protocol": "vless", "network": "tcp", "tls": "reality", "port": 8443}
        system = {
            "version": "0.8.4", "mem_total": 25276514304, "mem_used": 349954048, "cpu_cores": 2, "cpu_usage": 4.1,
            "total_user": self.users, "online_users": self.users // 10, "users_active": self.users, "users_on_hold": 0,
            "users_disabled": 0, "users_expired": 0, "users_limited": 0, "incoming_bandwidth": 1234619773510,
            "outgoing_bandwidth": 9877162513007, "incoming_bandwidth_speed": 376, "outgoing_bandwidth_speed": 376,
        }
        return {
            # A token that names no end does not expire.
            "/api/admin/token": {"access_token": "opaque", "token_type": "bearer"}, "/api/admin": ADMIN,
            "/api/admins": [ADMIN], "/api/system": system, "/api/nodes": [], "/api/nodes/usage": {"usages": [usage]},
            "/api/core": {"version": "25.1.1", "started": True, "logs_websocket": "/api/core/logs"},
            "/api/inbounds": {"vless": [inbound]},
        }

    def files(self):
        return {"/api/users": "/users-$arg_offset-$arg_limit"}

    def is_list(self, path):
        return "/api/users?offset=" in path

    def ends_walk(self, path):
        found = re.search(r"/api/users\?offset=(\d+)&limit=(\d+)", path)
        return bool(found) and int(found[1]) + int(found[2]) > self.users

    def varied(self, user):
        """The values that do not have the same length for all users: the end, the quota and the last traffic."""
        online = self.last_online(user)
        online = online and f'"{datetime.datetime.fromtimestamp(online, datetime.UTC).isoformat()[:19]}"'
        return [str(value or "null") for value in (self.expiry(user), self.limit(user), online)]

    def row(self, user):
        expire, limit, online = self.varied(user)
        return self.template.fill(
            name=f"user_{user:07}", id=f"{user:012x}", expire=expire, limit=limit, online=online,
            used=str(self.used(user)), lifetime=str(self.used(user) + 200 * GIB),
            note="n" * (self.room - len(expire) - len(limit) - len(online)),
        )

    def answer(self, path):
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(path).query)
        kept = None
        if names := query.get("username"):
            users = [int(name.removeprefix("user_")) for name in names]
        elif "offset" in query:
            offset, limit = int(query["offset"][0]), int(query["limit"][0])
            users = range(min(offset, self.users), min(offset + limit, self.users))
            kept = f"users-{offset}-{limit}"
            self.pages[kept] = users
        else:
            users = range(1)  # Asked for the total alone.
        return kept, HEAD + b",".join(map(self.row, users)) + b'],"total":%d}' % self.users

    def tick(self, number):
        changed = self.changed(number)
        for page, users in self.pages.items():
            for user in changed[-(-max(users.start - changed.start, 0) // changed.step) :]:
                if user >= users.stop:
                    break
                yield page, len(HEAD) + (user - users.start) * (ROW + 1), self.row(user)
