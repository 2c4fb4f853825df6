"""Panels of the x-ui family: 3x-ui 3.6, and 2.8, whose settings are JSON in a string."""

from .population import Population, Template, dump

INBOUNDS = 10
HEAD = b'{"success":true,"msg":"","obj":['
STATS = {
    "id": "«#id»", "inboundId": 1, "enable": True, "email": "«name»", "uuid": "", "subId": "«room»", "up": "«#up»",
    "down": "«#down»", "expiryTime": "«#expiry»", "total": "«#limit»", "reset": 0, "lastOnline": "«#online»",
}
SETTING = {
    "comment": "", "created_at": 1795634244344, "email": "«name»", "enable": True, "expiryTime": "«#expiry»",
    "id": "64b26661-2ff0-5385-a6ce-«code»", "limitIp": 2, "reset": 0, "security": "", "subId": "48b4«code»", "tgId": 0,
    "totalGB": "«#limit»", "updated_at": 1795634244000,
}
STREAM = {"network": "tcp", "security": "none", "tcpSettings": {"header": {"type": "none"}}, "externalProxy": []}
SNIFFING = {"enabled": True, "destOverride": ["http", "tls"], "metadataOnly": False, "routeOnly": False}
STATUS = {
    "cpu": 7.28, "cpuCores": 2, "logicalPro": 2, "cpuSpeedMhz": 2596.1,
    "mem": {"current": 1371291648, "total": 4112076800}, "swap": {"current": 0, "total": 0},
    "disk": {"current": 23379111936, "total": 270553174016}, "xray": {"state": "running", "errorMsg": "", "version": "26.7.28"},
    "uptime": 864000, "loads": [0.2, 0.3, 0.1], "tcpCount": 2727, "udpCount": 1, "netIO": {"up": 41, "down": 77},
    "netTraffic": {"sent": 4403098, "recv": 1534404145}, "publicIP": {"ipv4": "N/A", "ipv6": "N/A"},
    "appStats": {"threads": 20, "mem": 50000000, "uptime": 86400},
}
GUID = "9c6eb04a-4350-4aa6-856c-1b636f6a130c"
THRESHOLDS = {"expireDiff": 7, "trafficDiff": 1}
OUTBOUND = {"id": 2, "tag": "direct", "up": 4187, "down": 3803249, "total": 3807436}


def done(value):
    return {"success": True, "msg": "", "obj": value}


class Xui(Population):
    """3x-ui 3.6: the list has hardly anything of the settings (`slim`)."""

    name = "xui"
    kept = "list"
    missing = ""
    walks = 2  # Between them, the whole list is read for what the cheap one does not have.

    def __init__(self, users, firing=21):
        super().__init__(users, firing)
        self.stats = Template(STATS)
        self.row_size = len(self.row(0))
        # Where the row of the first client of each inbound begins.
        self.places = []

    def config(self, target, url, more=""):
        return f'[xui.{target}]\nurl = "{url}"\ntoken = "token"\n{more}'

    def fixed(self):
        return {
            "/panel/api/server/status": done({**STATUS, "panelVersion": "3.6.0", "panelGuid": GUID}),
            "/panel/api/nodes/list": done([]), "/panel/api/clients/onlines": done(["client_0000001"]),
            "/panel/api/xray/getOutboundsTraffic": done([OUTBOUND]), "/panel/api/server/xrayObservatory": done([]),
            "/panel/api/server/clientIps": done([]), "/panel/api/setting/defaultSettings": done(THRESHOLDS),
        }

    def files(self):
        return {"/panel/api/inbounds/list/slim": "/list", "/panel/api/inbounds/list": "/whole"}

    def is_list(self, path):
        return path.endswith("/panel/api/inbounds/list/slim")

    def plan(self, user):
        """The end in milliseconds, and the quota."""
        return str(self.expiry(user) * 1000), str(self.limit(user))

    def row(self, user):
        (expiry, limit), online = self.plan(user), str(self.last_online(user) * 1000)
        return self.stats.fill(
            id=f"{user + 1_000_000}", name=f"client_{user:07}", up=str(self.used(user) // 10 + 10**10),
            down=str(self.used(user)), expiry=expiry, limit=limit, online=online,
            # Makes all rows of the same length.
            room="s" * (38 - len(expiry) - len(limit) - len(online)),
        )

    def clients(self, inbound):
        return range(inbound, self.users, INBOUNDS)

    def settings(self, inbound, whole):
        wanted = SETTING if whole else {key: SETTING[key] for key in ("comment", "email", "enable", "limitIp")}
        template = Template(wanted)
        clients = (
            template.fill(name=f"client_{user:07}", expiry=expiry, limit=limit, code=f"{user:012x}")
            for user in self.clients(inbound)
            for expiry, limit in [self.plan(user)]
        )
        return b'{"clients":[%s],"decryption":"none","fallbacks":[]}' % b",".join(clients)

    def inbound(self, number, whole):
        """The bytes before and after its clients."""
        more = {"streamSettings": STREAM, "sniffing": SNIFFING, "tag": f"inbound-{21010 + number}", "protocol": "vless"}
        before = {
            "id": number + 1, "up": 1992 + number, "down": 2161160, "total": 0, "remark": f"Inbound {number}", "enable": True,
            "expiryTime": 0, "trafficReset": "never", "lastTrafficResetTime": 0, "listen": "", "port": 21010 + number,
        }
        head = dump(before)[:-1].encode() + b',"clientStats":['
        return head, b'],"settings":' + self.settings(number, whole) + b"," + dump(more)[1:].encode()

    def answer(self, path):
        whole = not path.endswith("/slim")
        parts, places, size = [HEAD], [], len(HEAD)
        for number in range(INBOUNDS):
            head, tail = self.inbound(number, whole)
            places.append(size + len(head) + (number > 0))
            piece = (b"," if number else b"") + head + b",".join(map(self.row, self.clients(number))) + tail
            parts.append(piece)
            size += len(piece)
        kept = self.file_of(path)
        if kept == self.kept:
            self.places = places
        return kept, b"".join(parts) + b"]}"

    def file_of(self, path):
        return "list" if path.endswith("/slim") else "whole"

    def tick(self, number):
        for user in self.changed(number) if self.places else ():
            yield self.kept, self.places[user % INBOUNDS] + user // INBOUNDS * (self.row_size + 1), self.row(user)


class XuiOfText(Xui):
    """3x-ui 2.8: a login, and the settings of an inbound are JSON in a string."""

    name = "xui-text"
    walks = 1
    headers = {"Set-Cookie": "3x-ui=session; Path=/; HttpOnly"}

    def config(self, target, url, more=""):
        return f'[xui.{target}]\nurl = "{url}"\nusername = "admin"\npassword = "admin"\n{more}'

    def fixed(self):
        return {
            "/": '<!DOCTYPE html><title>Login</title><script src="assets/vue/vue.min.js?2.8.11"></script>',
            "/login": done(None), "/panel/api/server/status": done(STATUS),
            "/panel/api/inbounds/onlines": done(["client_0000001"]),
            "/panel/xray/getOutboundsTraffic": done([OUTBOUND]), "/panel/setting/defaultSettings": done(THRESHOLDS),
        }

    def files(self):
        return {"/panel/api/inbounds/list": "/list"}

    def is_list(self, path):
        return path.endswith("/panel/api/inbounds/list")

    def file_of(self, path):
        return "list"

    def settings(self, inbound, whole):
        return dump(super().settings(inbound, True).decode()).encode()
