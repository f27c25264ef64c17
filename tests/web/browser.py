"""Looks at the page in headless Chromium and says as JSON what it shows.

browser.py URL QUERIES [FOLDER]: waits until the page shows that many queries; pictures go to the
folder. Talks the DevTools protocol through a pipe, so that it needs nothing but Python.
"""

import base64
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

PATIENCE = 60


class Browser:
    def __init__(self, folder):
        commands, self.out = os.pipe()
        self.into, answers = os.pipe()

        def pipes():
            # Copied first, for one of them may be 3 or 4 already.
            a, b = os.dup(commands), os.dup(answers)
            os.dup2(a, 3)
            os.dup2(b, 4)

        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                     "--no-first-run", "--remote-debugging-pipe", f"--user-data-dir={folder}"]
        self.process = subprocess.Popen(["chromium", *arguments, "about:blank"], preexec_fn=pipes,
                                        close_fds=False, stderr=subprocess.DEVNULL)
        os.close(commands)
        os.close(answers)
        self.rest, self.last, self.session, self.said = b"", 0, None, []
        target = self.do("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.do("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.do(f"{domain}.enable")

    def do(self, method, **parameters):
        self.last += 1
        message = {"id": self.last, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self.rest:
                more = os.read(self.into, 1 << 16)
                if not more:
                    raise SystemExit("the browser has gone")
                self.rest += more
            one, self.rest = self.rest.split(b"\0", 1)
            one = json.loads(one)
            if one.get("id") == self.last:
                if "error" in one:
                    raise SystemExit(f"{method}: {one['error']}")
                return one["result"]
            if one.get("method") in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"):
                self.said.append(json.dumps(one["params"])[:400])

    def value(self, script):
        result = self.do("Runtime.evaluate", expression=script, returnByValue=True)
        if "exceptionDetails" in result:
            raise SystemExit(f"{script}: {result}")
        return result["result"].get("value")

    def until(self, script):
        end = time.monotonic() + PATIENCE
        while not self.value(script):
            if time.monotonic() > end:
                raise SystemExit(f"never: {script}; {self.said}; {self.value('document.body.innerText')}")
            time.sleep(0.05)

    def look(self, width, height, scheme):
        self.do("Emulation.setDeviceMetricsOverride", width=width, height=height,
                deviceScaleFactor=1, mobile=width < 600)
        self.do("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def picture(self, path, height):
        clip = {"x": 0, "y": 0, "width": self.value("innerWidth"), "height": height, "scale": 1}
        data = self.do("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(data))


def key(browser, name):
    for kind in ("rawKeyDown", "keyUp"):
        browser.do("Input.dispatchKeyEvent", type=kind, key=name, code=name,
                   windowsVirtualKeyCode={"Tab": 9, "ArrowLeft": 37}[name])


def main():
    url, queries = sys.argv[1:3]
    folder = pathlib.Path(sys.argv[3]) if len(sys.argv) > 3 else None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(profile)
        try:
            browser.look(1200, 900, "light")
            browser.do("Page.navigate", url=url)
            browser.until(f"document.getElementById('queries')?.textContent.replaceAll(',', '') === {json.dumps(queries)}")
            for lists in ("pools", "people"):
                browser.until(f"document.querySelector('#{lists} table, #{lists} .empty') !== null")
            if queries != "0":
                browser.until("document.querySelector('#c-queries path') !== null")
            found = {
                "texts": browser.value("Object.fromEntries([...document.querySelectorAll('main [id], header [id]')].map((n) => [n.id, n.textContent]))"),
                "shapes": browser.value("[...document.querySelectorAll('#shapes li')].map((n) => n.textContent)"),
                "strange": browser.value("document.querySelectorAll('main img, main script, #shapes svg').length"),
                "ground": [browser.value("getComputedStyle(document.body).backgroundColor")],
                "wide": {},
                "focus": [],
            }
            for _ in range(3):
                key(browser, "Tab")
                found["focus"].append(browser.value("document.activeElement.closest('figure')?.id || document.activeElement.className"))
            key(browser, "ArrowLeft")
            found["readout"] = browser.value("document.querySelector('#c-ratio output').textContent")
            browser.value("document.activeElement.blur()")
            for name, width, scheme, height in (("light", 1200, "light", 1000), ("dark", 1200, "dark", 1000), ("phone", 375, "light", 1100)):
                browser.look(width, 900, scheme)
                browser.value("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
                found["wide"][name] = browser.value("document.documentElement.scrollWidth - innerWidth")
                found["ground"].append(browser.value("getComputedStyle(document.body).backgroundColor"))
                if folder:
                    time.sleep(0.5)
                    browser.picture(folder / f"dashboard-{name}.png", height)
            found["said"] = browser.said
            print(json.dumps(found))
        finally:
            browser.process.kill()
            browser.process.wait()


main()
