"""The report: safe for strangers' names, complete, bounded, and the same for the same measurements."""

from __future__ import annotations

import base64
import dataclasses
import io
import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from sam_export.verify.report import PromptKind, Report, ReportedCandidate, choose_cases, render_report
from sam_export.verify.report_format import format_error, format_iou, format_points, format_snr, printable
from sam_export.verify.report_pictures import draw_case

from .report_samples import LIMITS, against_truth, candidate, case, report, scores, untrained

VOID = {"meta", "img", "br", "hr", "input", "link"}
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7 * 7 }}\u202e\ud800"


class Page(HTMLParser):
    """Checks that every element is closed in order, and keeps what a test asks about."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1:] == [tag], f"</{tag}> closes {self.open[-1:]} at {self.getpos()}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def passed() -> str:
    return render_report(report())


@pytest.fixture(scope="module")
def failed() -> str:
    return render_report(report(candidate(passed=False, cases=3)))


def hostile_report() -> Report:
    base = candidate(cases=3)
    found = base.verification.measurement
    prompts = tuple(dataclasses.replace(score, picture=HOSTILE, prompt=HOSTILE) for score in found.prompts)
    assert found.stable is not None
    measurement = dataclasses.replace(
        found,
        evaluated_by=HOSTILE,
        notes=(HOSTILE,),
        prompts=prompts,
        stable=dataclasses.replace(found.stable, worst_picture=HOSTILE, worst_prompt=HOSTILE),
        tensors=tuple(dataclasses.replace(score, picture=HOSTILE, tensor=HOSTILE) for score in found.tensors),
    )
    shown = tuple(dataclasses.replace(one, picture=HOSTILE, prompt=HOSTILE) for one in base.cases)
    candidates = (
        dataclasses.replace(
            base,
            name=HOSTILE,
            verification=dataclasses.replace(base.verification, measurement=measurement),
            cases=shown,
        ),
    ) * 2
    whole = report(*candidates)
    return dataclasses.replace(
        whole,
        model=dataclasses.replace(whole.model, model=HOSTILE, license=HOSTILE, source="javascript:alert(3)"),
        tools={HOSTILE: HOSTILE},
    )


def test_hostile_names_stay_text() -> None:
    text = render_report(hostile_report())
    page = Page(text)
    assert page.all("script") == []
    assert all("onerror" not in attributes and attributes["src"].startswith("data:") for attributes in page.all("img"))
    assert "{{ 7 * 7 }}" in page.text
    assert "\u202e" not in text
    text.encode("utf-8")


def test_nothing_is_fetched(passed: str) -> None:
    page = Page(passed)
    addresses = [
        value for _, attributes in page.elements for name, value in attributes.items() if name in ("src", "href")
    ]
    assert addresses
    assert all(address.startswith("data:image/jpeg;base64,") for address in addresses)
    assert not re.search(r"https?://|url\(|@import|@font-face", passed)
    assert {"script", "link", "iframe", "object", "base"}.isdisjoint(name for name, _ in page.elements)
    policies = [attributes["content"] for attributes in page.all("meta") if "http-equiv" in attributes]
    assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_page_is_accessible(passed: str) -> None:
    page = Page(passed)
    assert page.all("html") == [{"lang": "en"}]
    assert all(len(attributes["alt"]) > 20 for attributes in page.all("img"))
    assert all(attributes.get("scope") in ("col", "row") for attributes in page.all("th"))
    assert all("aria-label" in attributes or "aria-hidden" in attributes for attributes in page.all("svg"))
    assert len(page.all("h1")) == 1


def test_passed_says_so_once(passed: str) -> None:
    page = Page(passed)
    assert "Passed: lite_medsam · onnx · fp16" in page.text
    assert [attributes for attributes in page.all("div") if "verdict" in attributes.get("class", "")] == [
        {"class": "verdict passed"}
    ]
    assert "FAILED" not in page.text
    assert "✗" not in page.text


def test_failure_is_in_title_colour_word_and_reasons(failed: str) -> None:
    page = Page(failed)
    assert page.text.startswith("FAILED: lite_medsam")
    assert {"class": "verdict failed"} in page.all("div")
    assert "must not be shipped" in page.text
    assert failed.count("try --precision fp16") == 2
    assert {"class": "breaks"} in page.all("dd")
    assert page.text.count("✗") >= 2
    assert "bar below" in failed


def test_one_failed_candidate_fails_the_page() -> None:
    text = Page(render_report(report(candidate(cases=0), candidate(passed=False, cases=0)))).text
    assert text.startswith("FAILED")
    assert text.index("1 of 2 variants failed") < text.index("Accuracy")


def test_worst_cases_come_first_and_are_all_there() -> None:
    shown = candidate(cases=9)
    gated = [score for score in shown.verification.measurement.prompts if score.kind != "harsh box"]
    worst = sorted(gated, key=lambda score: score.mask_iou)[:6]
    text = Page(render_report(report(shown))).text
    masks = text[text.index("The masks themselves") :]
    places = [masks.index(f"{score.picture} IoU {format_iou(score.mask_iou)} {score.prompt}") for score in worst]
    assert places == sorted(places)


def test_mil_reference_is_said_plainly() -> None:
    text = Page(render_report(report(candidate(evaluated_by="mil-reference (coremltools 9.0, cpu)", cases=0)))).text
    assert "Core ML itself did not run." in text


def test_other_engines_are_named(passed: str) -> None:
    text = Page(passed).text
    assert "run by onnxruntime 1.31.1." in text
    assert "did not run" not in text


def test_lowered_limits_are_said() -> None:
    shown = candidate(cases=0)
    lowered = dataclasses.replace(shown.verification, limits=dataclasses.replace(LIMITS, lowered_by_user=True))
    text = Page(render_report(report(dataclasses.replace(shown, verification=lowered)))).text
    assert "The limits were lowered" in text


def test_untrained_weights_report_logits_only() -> None:
    whole = report(untrained(candidate(cases=0)))
    kinds = (PromptKind("logits", "parity", 242),)
    whole = dataclasses.replace(whole, suite=dataclasses.replace(whole.suite, kinds=kinds))
    text = Page(render_report(whole)).text
    assert "no stable masks to compare" in text
    assert "≥ 35" in text
    assert "Mean mask IoU 0" not in text[: text.index("Accuracy")]


def test_same_report_same_text(passed: str) -> None:
    assert render_report(report()) == passed


@pytest.mark.slow
@pytest.mark.parametrize("cases", [9, 60], ids=["few", "many"])
def test_size_is_bounded(cases: int) -> None:
    page = render_report(report(candidate(cases=cases)))
    assert len(page.encode("utf-8")) < 1_500_000
    assert len(Page(page).all("img")) == 2 * cases


def test_kind_without_a_role_is_a_bug_of_ours() -> None:
    whole = report(candidate(cases=0))
    with pytest.raises(AssertionError, match="harsh box"):
        render_report(dataclasses.replace(whole, suite=dataclasses.replace(whole.suite, kinds=whole.suite.kinds[:2])))


def test_recipe_exceptions_and_pictures_are_listed(passed: str) -> None:
    text = Page(passed).text
    for expected in ("loses its phase in fp16", "fp16 storage", "crop of coffee", "5f" * 32, "79d8c9dc" * 8, "1.23.2"):
        assert expected in text


def with_masks(shape: tuple[int, int], reference: slice, candidate_rows: slice) -> ReportedCandidate:
    base = candidate(cases=1)
    masks = np.zeros((2, *shape), bool)
    masks[0, reference], masks[1, candidate_rows] = True, True
    drawn = dataclasses.replace(
        base.cases[0], image=np.zeros((*shape, 3), np.uint8), reference_mask=masks[0], candidate_mask=masks[1], box=None
    )
    return dataclasses.replace(base, cases=(drawn,))


@pytest.mark.parametrize(
    ("shape", "reference", "rows", "counts"),
    [
        ((40, 60), slice(0), slice(0), (0, 0)),
        ((40, 60), slice(None), slice(None), (0, 0)),
        ((40, 60), slice(0, 20), slice(0), (1200, 0)),
        ((1, 900), slice(0, 1), slice(0), (900, 0)),
        ((900, 1), slice(0, 450), slice(0, 451), (0, 1)),
    ],
    ids=["both empty", "both full", "candidate empty", "one row", "one column"],
)
def test_odd_masks_and_pictures_are_drawn(
    shape: tuple[int, int], reference: slice, rows: slice, counts: tuple[int, int]
) -> None:
    shown = with_masks(shape, reference, rows)
    drawing = draw_case(shown.cases[0]).encode(320, 80)
    assert (drawing.only_reference, drawing.only_candidate) == counts
    assert max(drawing.width, drawing.height) == 320
    Page(render_report(report(shown)))


def test_one_differing_pixel_of_a_large_picture_is_visible() -> None:
    base = case(scores()[0])
    same = np.ones((2400, 3200), bool)
    other = same.copy()
    other[1200, 1600] = False
    image = np.full((2400, 3200, 3), 90, np.uint8)
    shown = dataclasses.replace(base, image=image, reference_mask=same, candidate_mask=other, box=None)
    drawing = draw_case(shown).encode(320, 80)
    jpeg = base64.b64decode(drawing.difference.partition(",")[2])
    pixels = np.asarray(Image.open(io.BytesIO(jpeg))).astype(int)
    blue = pixels[..., 2] - pixels[..., 0]
    assert blue.max() > 20
    assert np.count_nonzero(blue > 20) < 20


def test_chosen_cases_are_the_worst_and_a_spread_of_the_rest() -> None:
    found = scores()
    chosen = choose_cases(found, worst=4, typical=3)
    ranked = sorted(found, key=lambda score: score.mask_iou)
    assert list(chosen[:4]) == ranked[:4]
    assert [ranked.index(score) for score in chosen[4:]] == [36, 68, 100]


@pytest.mark.parametrize("count", [0, 1, 5, 7])
def test_few_scores_are_chosen_once(count: int) -> None:
    chosen = choose_cases(scores()[:count], worst=4, typical=3)
    assert len(chosen) == len(set(chosen))
    assert len(chosen) >= min(count, 4)


def test_not_a_number_is_the_worst() -> None:
    found = (*scores()[:8], dataclasses.replace(scores()[8], mask_iou=math.nan))
    assert math.isnan(choose_cases(found)[0].mask_iou)


def test_printed_numbers_never_flatter() -> None:
    assert format_iou(0.99949999) == "0.9994"
    assert format_iou(0.9995) == "0.9995"
    assert format_iou(0.99999999) == "0.9999"
    assert format_iou(1.0) == "1.0000"
    assert format_error(0.05000001) == "0.0501"
    assert format_error(0.05) == "0.0500"
    assert format_snr(34.999) == "34.9 dB"
    assert [format_snr(value) for value in (200.0, -200.0, math.nan)] == ["exact", "not a number", "not a number"]


@pytest.mark.parametrize(
    ("loss", "printed"), [(0.001, "0.01"), (0.0, "0.00"), (-0.001, "0.00"), (-0.019, "-0.01"), (12.0, "12.00")]
)
def test_losses_are_rounded_up(loss: float, printed: str) -> None:
    assert format_points(loss) == printed
    assert format_points(math.nan) == "not a number"


def test_ground_truth_has_a_section(passed: str) -> None:
    assert "ground truth" not in Page(passed).text.lower()
    text = Page(render_report(report(against_truth(candidate(cases=0))))).text
    section = text[text.index("Against the ground truth") : text.index("Recipe")]
    assert "truth box 3 on 1 picture 0.9123 0.9123 0.01 1.01 coins , truth box 0,0,2,9 (2)" in section
    listed = section[section.index("3 prompts, largest loss first") :]
    assert re.findall(r"\((\d)\) 0\.9000 (0\.8\d+) ([\d.]+)", listed) == [
        ("2", "0.8750", "2.50"),
        ("1", "0.8850", "1.50"),
        ("0", "0.8950", "0.50"),
    ]


def test_ground_truth_of_thousands_of_objects_is_cut() -> None:
    text = Page(render_report(report(against_truth(candidate(cases=0), 1000)))).text
    assert "600 more prompts lost as much or less." in text


def test_hostile_names_of_outlined_pictures_stay_text() -> None:
    text = render_report(report(against_truth(candidate(cases=0), name=HOSTILE)))
    assert Page(text).all("script") == []
    text.encode("utf-8")


def test_printable_keeps_letters_of_every_language() -> None:
    assert printable("Äpfel 林檎 🍎") == "Äpfel 林檎 🍎"
    assert printable("a\x00b\u202ec") == "a\ufffdb\ufffdc"
