"""A real browser, Chromium driven by Playwright, in which nothing may go wrong.

A page that prints an error, throws one, or asks for anything outside this machine fails
the test that opened it.
"""

import shutil
from contextlib import contextmanager
from importlib.util import find_spec
from urllib.parse import urlsplit

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
LOCAL = ("127.0.0.1", "localhost", "[::1]", "::1")
PHONE, SCREEN = (375, 740), (1280, 800)


@contextmanager
def running_browser():
    """Start Chromium; skip if it or Playwright is missing."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None or find_spec("playwright") is None:
        pytest.skip("no Chromium or no Playwright here (apt install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Without its sandbox, which does not start for root.
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox"]
        )
        yield browser
        browser.close()


class Tab:
    """A tab of the browser. `page` is Playwright's page."""

    def __init__(self, context):
        self.page = context.new_page()
        self.faults = []
        self.page.on("pageerror", lambda error: self.faults.append(f"thrown: {error}"))
        self.page.on("console", self._note)
        context.route("**/*", self._check)

    def _note(self, message):
        if message.type in ("error", "warning"):
            self.faults.append(f"{message.type}: {message.text}")

    def _check(self, route):
        address = urlsplit(route.request.url)
        if address.scheme in ("file", "data", "blob") or address.hostname in LOCAL:
            route.continue_()
        else:
            self.faults.append(f"request: {route.request.url}")
            route.abort()

    def open(self, place, size=SCREEN):
        """Open a file or an address; return Playwright's page."""
        address = place if "://" in str(place) else place.resolve().as_uri()
        self.page.set_viewport_size({"width": size[0], "height": size[1]})
        self.page.goto(address)
        return self.page

    def barriers(self):
        """Return what axe-core finds: barriers to those who see or move differently."""
        from axe_playwright_python.sync_playwright import Axe

        # Playwright runs it outside the page's content security policy.
        found = Axe().run(self.page).response["violations"]
        return [
            f"{each['id']}: {each['help']}: {node['html'][:200]}"
            for each in found
            for node in each["nodes"]
        ]

    def overflow(self):
        """Return by how many pixels the page is wider than the window."""
        width = "document.documentElement.scrollWidth - innerWidth"
        return max(0, self.page.evaluate(width))


@contextmanager
def open_tab(browser, **options):
    """Open a tab, as Playwright's `new_context(**options)`; check it at the end."""
    context = browser.new_context(**options)
    try:
        tab = Tab(context)
        yield tab
        assert not tab.faults, "\n".join(tab.faults)
    finally:
        context.close()
