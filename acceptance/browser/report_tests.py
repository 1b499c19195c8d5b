"""What has to hold for every report on every screen; the files beside this one say on which."""

from __future__ import annotations

from .made import REPORTS, made
from .opened import DESKTOP, PAPER, open_page


class ReportTests:
    """Tests of one screen, ``device``."""

    device = DESKTOP

    def test_it_draws_what_is_unfolded_and_then_what_is_not(self, opened, report, screenshots):
        page = opened.page
        assert opened.faults("figures") == []
        page.screenshot(path=screenshots / f"{report}-{self.device.name}-folded.png", full_page=True)
        opened.unfold()
        promised = page.locator("figure script[type='application/json']").count()
        assert promised == (REPORTS[report].figures or promised) > 0
        assert page.locator(".plot:has(svg.main-svg)").count() == promised
        assert opened.faults("figures") == []
        page.screenshot(path=screenshots / f"{report}-{self.device.name}.png", full_page=True)

    def test_names_are_shown_and_do_nothing(self, opened, report):
        opened.unfold()
        shown = opened.page.inner_text("main")
        for name in REPORTS[report].names:
            assert name in shown
        assert opened.faults("intruders") == []
        assert opened.asked == []

    def test_nothing_overflows(self, opened):
        opened.unfold()
        assert opened.faults("overflow") == []
        assert opened.faults("clipped") == []
        assert opened.faults("collisions") == []

    def test_pictures_have_loaded_and_everything_has_words(self, opened):
        opened.unfold()
        assert opened.faults("images") == []
        assert opened.faults("words") == []

    def test_axe_finds_nothing(self, opened):
        opened.unfold()
        assert opened.violations() == []

    def test_the_keyboard_reaches_what_a_mouse_does(self, opened):
        page = opened.page
        for fold in page.locator("details:not(details details)").all()[:3]:
            before = fold.evaluate("each => each.open")
            fold.locator("summary").first.press("Enter")
            assert fold.evaluate("each => each.open") != before
            fold.locator("summary").first.press("Enter")
        opened.unfold()
        for table in page.locator("table.sortable").all():
            head = table.locator("thead th").nth(1)
            head.locator("button").press("Enter")
            assert head.get_attribute("aria-sort") == "descending"
            head.locator("button").press("Enter")
            assert head.get_attribute("aria-sort") == "ascending"
        for region in page.locator(".scroll").all():
            if region.evaluate("each => each.scrollWidth > each.clientWidth + 20"):
                region.focus()
                page.keyboard.press("ArrowRight")
                page.wait_for_function("each => each.scrollLeft > 0", arg=region.element_handle())
                region.evaluate("each => { each.scrollLeft = 0; }")

    def test_a_dark_screen_changes_nothing(self, opened):
        colors = "() => ['backgroundColor', 'color'].map(each => getComputedStyle(document.body)[each])"
        before = opened.page.evaluate(colors)
        opened.page.emulate_media(color_scheme="dark")
        assert opened.page.evaluate(colors) == before
        opened.page.emulate_media(color_scheme="light")

    def test_it_says_and_asks_nothing(self, opened):
        # Last: everything above has been done to the page by now.
        assert opened.said == []
        assert opened.requested == []


class PaperTests:
    """What a printer gets."""

    def test_paper_holds_everything(self, browser, reports, report):
        opened = open_page(browser, made(report, reports), PAPER)
        opened.page.evaluate("dispatchEvent(new Event('beforeprint'))")
        opened.page.emulate_media(media="print")
        opened.page.wait_for_timeout(100)
        opened.drawn()
        assert opened.faults("hidden") == []
        assert opened.faults("figures") == []
        assert opened.faults("overflow") == []
        opened.page.context.close()
