"""What the panels of the benchmark have in common."""

import json
import re
import time

GIB = 2**30
DAY = 86_400
CHANGE = 10  # One user in so many moves traffic from one tick to the next.


class Population:
    """Users of a panel, of whom `firing` in a hundred expire within two days, so that an alert fires for each.

    Answers are rendered once and kept as files. Rows have the same length whatever they say, so that traffic moves by
    replacing them in the files.
    """

    name = None  # As bare_parse and the daemon's configuration call the system.
    kept = None  # The files that a walk reads, as a pattern.
    missing = '{"detail":"Not Found"}'  # The answer for other paths, with 404.
    headers = {}
    walks = 1  # How many times the list is read before all is known that is asked only at first.

    def __init__(self, users, firing=21):
        self.users, self.firing = users, firing
        self.begins = int(time.time())
        self.ticks = [0] * users

    def fires(self, user):
        # Spread over the list.
        return user * 37 % 100 < self.firing

    def expiry(self, user):
        """In seconds; 0 for the users whose plan does not end."""
        if self.fires(user):
            return self.begins + 2 * DAY - user % 3600
        return 0 if user % 5 == 2 else self.begins + 20 * DAY + scattered(user) % (300 * DAY)

    def limit(self, user):
        """Bytes; 0 for the users who have no quota."""
        return 0 if user % 4 == 1 else 100 * GIB

    def last_online(self, user):
        """In seconds; 0 for the users who never were."""
        tick = self.ticks[user]
        if tick:
            return self.begins + 5 * tick
        return 0 if user % 5 == 3 else self.begins - 3600 - scattered(user) % (40 * DAY)

    def used(self, user):
        """Bytes: always eleven digits, and less than 80 % of 100 GiB."""
        return 10 * GIB + scattered(user) % (50 * GIB) + self.ticks[user] * 5_000_003

    def changed(self, number):
        """The users whose traffic moves at a tick."""
        users = range(number % CHANGE, self.users, CHANGE)
        for user in users:
            self.ticks[user] = number
        return users

    def config(self, target, url, more=""):
        """The table of a target."""
        raise NotImplementedError

    def fixed(self):
        """Answers that stay the same, by path: JSON, or text."""
        raise NotImplementedError

    def files(self):
        """Where nginx finds kept answers, by path."""
        raise NotImplementedError

    def is_list(self, path):
        """Whether a request is for the list, or a page of it."""
        raise NotImplementedError

    def ends_walk(self, path):
        """Whether a request is the last one of reading the list."""
        return self.is_list(path)

    def answer(self, path):
        """What is not in a file yet: the name of the file to keep it in, or none, and the bytes."""
        raise NotImplementedError

    def tick(self, number):
        """Moves traffic. Yields what to write: a file, a place in it, and bytes. Without a place, the file is replaced."""
        return ()


def scattered(user):
    """A number that looks like chance, so that pages compress as real ones do."""
    return (user + 1) * 11_400_714_819_323_198_485 % 2**64


def dump(value):
    """JSON as panels write it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


class Template:
    """JSON with marks in its strings, such as «name». The string «#name» is not one, but a number."""

    def __init__(self, value):
        text = value if isinstance(value, str) else dump(value)
        words = re.split("«(.*?)»", re.sub('"«#(.*?)»"', "«\\1»", text))
        self.pieces = [word if place % 2 else word.encode() for place, word in enumerate(words)]

    def fill(self, **values):
        return b"".join(values[piece].encode() if isinstance(piece, str) else piece for piece in self.pieces)
