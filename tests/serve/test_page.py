"""The page in a real browser: Debian's Chromium, driven by Playwright. Skipped where there is none."""

import csv
import os
import shutil

import numpy as np
import pytest

from limssr.cli import main
from limssr.core.recipes import parse_config
from limssr.media.write import write_media
from limssr.runs.train import train_run

CHROMIUM = os.environ.get("LIMSSR_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine (apt-get install chromium, or set LIMSSR_CHROMIUM to its path)")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (limssr[dev])")
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser, client):
    """The page, opened; anything that it complains of, or asks of another host, fails the test."""
    context = browser.new_context(viewport={"width": 390, "height": 800})
    opened = context.new_page()
    wrong = []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("request", lambda request: None if is_own(request.url, client.port) else wrong.append(request.url))
    opened.set_default_timeout(20_000)
    opened.goto(f"http://127.0.0.1:{client.port}/")
    opened.locator("#wanted:not(:empty)").wait_for()
    yield opened
    context.close()
    assert wrong == []


def is_own(url, port):
    return url.startswith((f"http://127.0.0.1:{port}/", f"ws://127.0.0.1:{port}/", "blob:", "data:"))


@pytest.fixture
def takes(performances, tmp_path):
    """Two performances as files, a stream each."""
    found = []
    for number, sample in enumerate(performances[:2], start=1):
        paths = []
        for name, values in sample.streams.items():
            path = tmp_path / f"take {number}" / f"take-{number}-{name}.npy"
            path.parent.mkdir(exist_ok=True)
            np.save(path, values)
            paths.append(str(path))
        found.append(paths)
    return found


def value_of(page, name):
    return float(page.locator("#scores article", has_text=name).locator(".value").inner_text().split()[0])


def test_a_judge_scores_switches_off_asks_why_compares_and_exports(page, client, takes, performances, tools, tmp_path):
    page.set_input_files("#files", takes[0])
    page.locator("#result:not([hidden])").wait_for()
    expected = client.post("/v1/score", tools.body_of(performances[0])).document["samples"][0]["scores"]["execution"]
    assert value_of(page, "execution") == pytest.approx(expected["score"], abs=0.006)
    picture = page.locator("#scores svg").first.get_attribute("aria-label")
    assert "on a scale from 0 to 10 points" in picture
    assert "90 % interval" in picture
    page.uncheck("input[data-stream=audio]")
    page.get_by_text("against all streams").first.wait_for()
    without = performances[0].restricted_to(("video", "flow"))
    expected = client.post("/v1/score", tools.body_of(without)).document["samples"][0]["scores"]["execution"]
    assert value_of(page, "execution") == pytest.approx(expected["score"], abs=0.006)
    page.check("input[data-stream=audio]")
    page.get_by_text("against all streams").first.wait_for(state="hidden")
    page.click("#explain")
    page.locator("#stretches li").first.wait_for()
    assert page.locator("#timeline .windows").count() == 3
    page.set_input_files("#files", takes[1])
    page.locator("#table tbody tr").nth(1).wait_for()
    with page.expect_download() as download:
        page.click("#export")
    download.value.save_as(tmp_path / "scores.csv")
    rows = list(csv.DictReader((tmp_path / "scores.csv").read_text().splitlines()))
    assert [row["id"] for row in rows] == ["take-1", "take-2"]
    assert all(float(row["low:execution"]) <= float(row["execution"]) <= float(row["high:execution"]) for row in rows)
    # Nothing is wider than the telephone.
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_stream_that_is_not_there_and_files_that_are_wrong_are_told(page, takes, tmp_path):
    page.set_input_files("#files", takes[0][:1])
    page.get_by_text("flow: not found").wait_for()
    assert page.locator("input[data-stream=flow]").is_disabled()
    strange = tmp_path / "holiday.npy"
    np.save(strange, np.zeros((2, 2)))
    page.set_input_files("#files", str(strange))
    page.get_by_text("whose names hold a stream").wait_for()
    narrow = tmp_path / "video.npy"
    np.save(narrow, np.zeros((2, 2), np.float32))
    page.set_input_files("#files", str(narrow))
    page.get_by_text("expected width").wait_for()
    assert page.locator("#problem").get_attribute("role") == "alert"


def test_everything_can_be_reached_by_keyboard(page, takes):
    page.set_input_files("#files", takes[0])
    page.locator("#result:not([hidden])").wait_for()
    reached = set()
    for _ in range(30):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.dataset.stream || ''"))
    assert {"model", "files", "folder", "video", "audio", "flow", "explain", "criterion", "export", "clear"} <= reached
    page.focus("input[data-stream=video]")
    page.keyboard.press("Space")
    page.get_by_text("against all streams").first.wait_for()
    page.focus("#explain")
    page.keyboard.press("Enter")
    page.locator("#stretches li").first.wait_for()


def test_a_performance_is_played_live(page, takes, performances, client, tools):
    page.set_input_files("#files", takes[0])
    page.fill("#speed", "200")
    page.click("#play")
    number = performances[0].num_segments
    page.get_by_text(f"after {number} of {number} segments").first.wait_for()
    page.get_by_role("button", name="Play").wait_for()
    told = page.locator("#live-scores .value").first.inner_text()
    expected = client.post("/v1/score", tools.body_of(performances[0])).document["samples"][0]["scores"]["execution"]
    assert float(told.split()[0]) == pytest.approx(expected["score"], abs=0.006)
    assert page.locator("#live-scores polyline").count() == 2


@pytest.fixture
def film(tmp_path):
    """A run on features of recordings, and a recording of two seconds."""
    dice = np.random.default_rng(0)
    lines = ["id,split,score:total,media:clip"]
    for number, split in enumerate(("train", "train", "train", "val", "test")):
        pictures = [(time_s, dice.integers(0, 255, (48, 64, 3), np.uint8)) for time_s in np.arange(50) / 25]
        write_media(tmp_path / f"r{number}.mp4", pictures=pictures)
        lines.append(f"r{number},{split},{number},r{number}.mp4")
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
    words = ["extract", tmp_path / "table.csv", tmp_path / "store", "--encoders", "motion", "--segments", "0.5"]
    assert main([str(word) for word in words]) == 0
    document = {
        "data": {"store": str(tmp_path / "store")},
        "model": {"system": "attention", "hidden": 8},
        "train": {"epochs": 1, "warmup_epochs": 0},
        "evaluation": {"bootstrap": 0, "references": []},
    }
    return train_run(parse_config(document, where="test"), tmp_path / "run"), tmp_path / "r4.mp4"


def test_a_recording_is_played_and_scored_in_step(browser, start, settings, film):
    run, recording = film
    with start(settings, runs=(run,)) as client:
        page = browser.new_page(viewport={"width": 390, "height": 800})
        page.set_default_timeout(30_000)
        page.goto(f"http://127.0.0.1:{client.port}/")
        page.locator("#wanted:not(:empty)").wait_for()
        page.set_input_files("#files", str(recording))
        page.locator("#result:not([hidden])").wait_for()
        assert page.locator("#player").is_visible()
        assert not page.locator("#speed").is_visible()
        page.click("#play")
        page.get_by_text("after 4 of 4 segments").wait_for()
        page.get_by_role("button", name="Play").wait_for()
        assert page.evaluate("document.getElementById('player').currentTime") >= 1.9
        assert page.locator("#problem").is_hidden()
        file = {"recording": (recording.name, recording.read_bytes())}
        expected = client.form("/v1/score", file).document["samples"][0]["scores"]["total"]["score"]
        told = float(page.locator("#live-scores .value").first.inner_text().split()[0])
        assert told == pytest.approx(expected, abs=0.006)
        if os.environ.get("LIMSSR_PICTURES"):
            page.screenshot(path=f"{os.environ['LIMSSR_PICTURES']}/film.png", full_page=True)
        page.close()


def test_names_for_readers_of_the_screen_and_contrast(browser, client):
    for scheme in ("light", "dark"):
        context = browser.new_context(color_scheme=scheme)
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{client.port}/")
        page.locator("#wanted:not(:empty)").wait_for()
        unnamed = page.evaluate(
            "[...document.querySelectorAll('input, select, button')].filter((one) => !one.closest('label') && "
            "!one.textContent.trim()).map((one) => one.id)"
        )
        assert unnamed == []
        names = ("ink", "quiet", "accent", "bad", "helpful", "harmful", "card", "bad-ground", "accent-ink")
        read = (
            "(names) => names.map((n) => getComputedStyle(document.documentElement).getPropertyValue('--' + n).trim())"
        )
        colours = dict(zip(names, page.evaluate(read, list(names)), strict=True))
        for front, ground in [("ink", "card"), ("quiet", "card"), ("accent", "card"), ("helpful", "card"),
                              ("harmful", "card"), ("bad", "bad-ground"), ("accent-ink", "accent")]:  # fmt: skip
            assert contrast(colours[front], colours[ground]) >= 4.5, (scheme, front, ground)
        context.close()


def contrast(first, second):
    """As the Web Content Accessibility Guidelines define it."""

    def light(colour):
        parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
        linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    brighter, darker = sorted((light(first), light(second)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


def test_a_token_is_asked_for(browser, start, settings, tmp_path):
    path = tmp_path / "token"
    path.write_text("a-long-token-of-many-letters")
    with start(settings, token_file=path) as client:
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{client.port}/")
        page.get_by_label("Token").fill("a-long-token-of-many-letters")
        page.get_by_role("button", name="Use it").click()
        page.locator("#wanted:not(:empty)").wait_for()
        page.close()


def test_the_interface_is_described_without_another_host(browser, client):
    page = browser.new_page()
    page.goto(f"http://127.0.0.1:{client.port}/docs")
    page.get_by_role("heading", name="POST /v1/score").wait_for()
    page.close()
