"""Looks at the status page with a real browser, headless, by its DevTools over a pipe.

    pages_e2e.py BASE SHOTS [FILE…]

BASE is the address of a demo; screenshots go to the folder SHOTS. FILEs are pages to look at as well. Needs chromium and Python's standard library alone.
"""

import base64
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request

PATIENCE = 60

# What is wrong with the page as it lies: what sticks out to the side, what has too little contrast (WCAG 2.2, AA),
# tables whose headings have no scope, headings that skip a level, and anything that could run.
LOOK = r"""
(() => {
  const wrong = [];
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > width) wrong.push(`the page is ${document.documentElement.scrollWidth} wide, not ${width}`);
  const hidden = element => element.closest('thead') && getComputedStyle(element.closest('thead')).position === 'absolute';
  const rgb = text => { const n = text.match(/[\d.]+/g).map(Number); return { c: n.slice(0, 3), a: n[3] ?? 1 }; };
  const luminance = c => c.map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const ground = element => {
    for (let e = element; e; e = e.parentElement) {
      const { c, a } = rgb(getComputedStyle(e).backgroundColor);
      if (a === 1) return c;
    }
    return [255, 255, 255];
  };
  for (const element of document.querySelectorAll('body *')) {
    if (hidden(element)) continue;
    const box = element.getBoundingClientRect();
    if (box.width && (box.right > width + .5 || box.left < -.5)) wrong.push(`${element.tagName} sticks out: ${element.textContent.slice(0, 40)}`);
    const text = [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
    if (text && !element.closest('svg')) {
      const [a, b] = [rgb(getComputedStyle(element).color).c, ground(element)].map(luminance).sort((x, y) => y - x);
      const contrast = (a + .05) / (b + .05);
      if (contrast < 4.5) wrong.push(`contrast ${contrast.toFixed(2)}: ${element.textContent.slice(0, 40)}`);
    }
  }
  document.querySelectorAll('th:not([scope])').forEach(th => wrong.push(`no scope: ${th.textContent}`));
  let level = 0;
  for (const heading of document.querySelectorAll('h1, h2, h3, h4')) {
    const next = Number(heading.tagName[1]);
    if (next > level + 1) wrong.push(`${heading.tagName} after H${level}: ${heading.textContent}`);
    level = next;
  }
  if (document.documentElement.lang !== 'en') wrong.push('no lang');
  for (const form of document.forms) if (form.method !== 'get' || form.hasAttribute('action')) wrong.push(`a form that leads elsewhere: ${form.outerHTML}`);
  for (const element of document.querySelectorAll('*')) {
    if (/^(script|iframe|object|embed|img|link|base)$/i.test(element.tagName)) wrong.push(`<${element.tagName}>`);
    for (const { name } of element.attributes) if (/^(on|style$|srcdoc$)/i.test(name)) wrong.push(`${element.tagName} has ${name}`);
  }
  for (const a of document.querySelectorAll('a[href]')) if (!/^(\.\.?\/|\?|https:\/\/)/.test(a.getAttribute('href'))) wrong.push(`not relative: ${a.outerHTML}`);
  return { wrong, html: document.documentElement.outerHTML, text: document.body.innerText, width,
    colour: getComputedStyle(document.body).backgroundColor };
})()
"""


class Browser:
    """One page of a headless Chromium."""

    def __init__(self, folder):
        ours_in, theirs_out = os.pipe()
        theirs_in, ours_out = os.pipe()

        def as_three_and_four():
            # Through numbers that neither is, or one would close the other.
            spare = [os.dup2(theirs_in, 13), os.dup2(theirs_out, 14)]
            os.dup2(spare[0], 3)
            os.dup2(spare[1], 4)

        flags = ["--headless=new", "--remote-debugging-pipe", f"--user-data-dir={folder}", "--disable-gpu", "--no-first-run",
                 "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage", "--hide-scrollbars"]
        if os.getuid() == 0:
            flags.append("--no-sandbox")
        self.process = subprocess.Popen([shutil.which("chromium") or "chromium", *flags, "about:blank"], close_fds=False,
                                        preexec_fn=as_three_and_four, stderr=open(f"{folder}.log", "w"))
        os.close(theirs_in)
        os.close(theirs_out)
        self.out, self.into = os.fdopen(ours_out, "wb", buffering=0), os.fdopen(ours_in, "rb")
        self.last, self.rest, self.session = 0, b"", None
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.ask("Page.enable")

    def ask(self, method, **params):
        self.last += 1
        message = {"id": self.last, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        self.out.write(json.dumps(message).encode() + b"\0")
        answer = self.until(lambda answer: answer.get("id") == self.last)
        if "error" in answer:
            sys.exit(f"{method}: {answer['error']}")
        return answer["result"]

    def until(self, is_it):
        while True:
            while b"\0" not in self.rest:
                more = self.into.read1(1 << 20)
                if not more:
                    sys.exit("the browser ended")
                self.rest += more
            message, self.rest = self.rest.split(b"\0", 1)
            message = json.loads(message)
            if is_it(message):
                return message

    def open(self, url, width, height, scheme):
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2 if width < 500 else 1,
                 mobile=width < 500)
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.ask("Page.navigate", url=url)
        self.until(lambda message: message.get("method") == "Page.loadEventFired")

    def follow(self, script):
        self.ask("Runtime.evaluate", expression=script)
        self.until(lambda message: message.get("method") == "Page.loadEventFired")

    def run(self, script):
        answer = self.ask("Runtime.evaluate", expression=script, returnByValue=True)
        if "exceptionDetails" in answer:
            sys.exit(f"the page cannot be looked at: {answer['exceptionDetails']}")
        return answer["result"]["value"]

    def shoot(self, file):
        size = self.ask("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 6000), "scale": 1}
        shot = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        pathlib.Path(file).write_bytes(base64.b64decode(shot["data"]))

    def close(self):
        self.process.terminate()
        self.process.wait(PATIENCE)


def get(url):
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
        return answer.read().decode()


VIEWS = [
    ("light", 1280, 900, "light"), ("dark", 1280, 900, "dark"), ("tablet", 800, 1000, "light"),
    ("phone", 360, 800, "light"), ("phone-dark", 360, 800, "dark"), ("narrow", 320, 640, "light"),
]


# Pages below the status page, and what is on them.
BELOW = {
    "target": ("targets/home", ["home", "Parts", "users", "Nodes", "Traffic", "Closest to their quota", "All users", "ProxymeterNodeDown"]),
    "llm": ("targets/llm?sort=-attempts", ["Credentials", "Provider", "usage"]),
    "users": ("targets/home/users?sort=-quota&page=2", ["Name contains", "Of quota", "101 to 200 of", "Previous", "Next"]),
    "one": ("targets/home/users/limited_and_past", ["limited_and_past", "user of home", "5 GiB", "125", "Use"]),
    "receiver": ("receivers/ops", ["ops", "email", "Delivered", "Given up"]),
}


def main(base, shots, *files):
    shots = pathlib.Path(shots)
    shots.mkdir(parents=True, exist_ok=True)
    wrong = look_at_all(base, shots, [pathlib.Path(file).resolve() for file in files])
    targets = json.loads(get(f"{base}/api/v1/targets"))["data"]["targets"]
    if [(target["name"], target["state"]) for target in targets] != [("edge", "up"), ("home", "up"), ("llm", "up"), ("office", "up")]:
        wrong.append(f"targets: {targets}")
    if not json.loads(get(f"{base}/api/v1/alerts"))["data"]["alerts"]:
        wrong.append("no alerts")
    if '"<hidden>"' not in get(f"{base}/config"):
        wrong.append("the configuration hides nothing")
    for what in dict.fromkeys(wrong):
        print(what, file=sys.stderr)
    if wrong:
        sys.exit(1)
    print(f"{len(VIEWS)} views of {base}/ and {len(files)} other pages have everything in its place")


def look_at_all(base, shots, files):
    wrong, colours = [], {}
    folder = tempfile.mkdtemp()
    browser = Browser(folder)
    try:
        for view, width, height, scheme in VIEWS:
            browser.open(f"{base}/", width, height, scheme)
            browser.shoot(shots / f"{view}.png")
            seen = browser.run(LOOK)
            wrong += [f"{view}: {what}" for what in seen["wrong"]]
            colours[view] = seen["colour"]
            for word in ["home", "edge", "ops", "oncall", "Alerts", "Targets", "Closest to their quota", "Next to expire",
                         "Receivers", "LLM proxies", "ProxymeterNodeDown", "ProxymeterUserExpiry", "Showing 10 of"]:
                if not re.search(rf"\b{word}\b", seen["text"]):
                    wrong.append(f"{view}: {word} is not on the page")
            if seen["text"].count("Showing 10 of") < 3 or re.search("<script", seen["html"], re.I):
                wrong.append(f"{view}: not the lists that there should be, or a script")
            for name, (path, words) in BELOW.items():
                browser.open(f"{base}/{path}", width, height, scheme)
                browser.shoot(shots / f"{name}-{view}.png")
                seen = browser.run(LOOK)
                wrong += [f"{name} {view}: {what}" for what in seen["wrong"]]
                wrong += [f"{name} {view}: {word} is not there" for word in words if not re.search(rf"\b{word}\b", seen["text"])]
            for file in files:
                browser.open(file.as_uri(), width, height, scheme)
                browser.shoot(shots / f"{file.stem}-{view}.png")
                wrong += [f"{file.stem} {view}: {what}" for what in browser.run(LOOK)["wrong"]]
        wrong += search(browser, base)
    finally:
        browser.close()
        shutil.rmtree(folder, ignore_errors=True)
    if colours["light"] == colours["dark"]:
        wrong.append("dark is as light as light")
    return wrong


def search(browser, base):
    """Sorts and searches as people do. What was asked for is in the address, so that it stays when a page is loaded again."""
    wrong = []
    browser.open(f"{base}/targets/home/users", 1280, 900, "light")
    browser.follow("[...document.querySelectorAll('thead a')].find(a => a.textContent === 'Of quota').click()")
    browser.follow("document.querySelector('[name=q]').value = '_0001'; document.querySelector('form button').click()")
    seen = browser.run("({ at: location.search, rows: document.querySelectorAll('tbody tr').length, "
                       "sorted: document.querySelector('[aria-sort]').innerText, "
                       "others: [...document.querySelectorAll('tbody th')].filter(th => !th.innerText.includes('_0001')).length })")
    if seen["at"] != "?q=_0001&sort=-quota" or not seen["rows"] or seen["others"] or "Of quota" not in seen["sorted"]:
        wrong.append(f"the search: {seen}")
    return wrong


if __name__ == "__main__":
    main(*sys.argv[1:])
