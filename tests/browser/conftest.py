"""What holds for every test in a browser: how long a page may take on a busy machine before it counts as wrong."""

from playwright.sync_api import expect

expect.set_options(timeout=30_000)
