"""`POST /v1/masks`: the masks of the bundle's own `Segmenter`, as run lengths or PNG."""

from __future__ import annotations

import base64
import io
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from sam_export.server import ServedBundle

from .conftest import PICTURE
from .live import Live, live_server

# pycocotools gives arrays in a way that numpy 2 wants otherwise.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

BOX = [20, 10, 80, 50]
POINTS = {"point_coords": [[30, 30], [70, 20]], "point_labels": [1, 0]}


def ask(live: Live, prompts: list[dict[str, Any]], data: bytes | None = None, **fields: Any) -> httpx.Response:
    image = {} if data is None else {"image": base64.b64encode(data).decode()}
    return live.client.post("/v1/masks", json={"prompts": prompts, **image, **fields})


def bitmap(mask: Any) -> np.ndarray:
    if isinstance(mask, str):
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(mask)))) > 0
    return coco_mask.decode(mask).astype(bool)


@pytest.mark.parametrize("mask_format", ["rle", "png"])
@pytest.mark.parametrize("multimask", [False, True])
@pytest.mark.parametrize(
    "prompt", [{"box": BOX}, POINTS, {"box": BOX, **POINTS}], ids=["box", "points", "box and points"]
)
def test_masks_are_those_of_the_segmenter(
    live: Live, bundle: ServedBundle, picture_png: bytes, prompt: dict[str, Any], multimask: bool, mask_format: str
) -> None:
    answer = ask(
        live, [prompt], picture_png, multimask_output=multimask, mask_format=mask_format, low_res_masks=True
    ).json()
    segmenter = bundle.segmenters[0]
    segmenter.set_image(PICTURE)
    expected = segmenter.predict(**prompt, multimask_output=multimask)
    assert answer["original_hw"] == [60, 100]
    (found,) = answer["answers"]
    np.testing.assert_array_equal([bitmap(mask) for mask in found["masks"]], expected.masks)
    np.testing.assert_allclose(found["iou_predictions"], expected.iou_predictions, rtol=1e-6)
    low_res = np.frombuffer(base64.b64decode(found["low_res_masks"]["data"]), "<f4")
    np.testing.assert_array_equal(low_res.reshape(found["low_res_masks"]["shape"]), expected.low_res_masks)


def test_a_picture_is_asked_about_again_by_its_id_and_with_its_mask(live: Live, picture_png: bytes) -> None:
    first = ask(live, [{"box": BOX}], picture_png, low_res_masks=True).json()
    (found,) = first["answers"]
    again = ask(
        live, [{"box": BOX, "mask_input": found["low_res_masks"]["data"]}], embedding_id=first["embedding_id"]
    ).json()
    assert again["embedding_id"] == first["embedding_id"]
    assert found["low_res_masks"]["shape"] == [1, 32, 32]
    assert bitmap(again["answers"][0]["masks"][0]).sum() >= bitmap(found["masks"][0]).sum() > 0


def test_an_embedding_s_id_is_good_for_masks(live: Live, picture_png: bytes) -> None:
    encoded = live.client.post("/v1/embeddings", content=picture_png)
    answer = ask(live, [{"box": BOX}], embedding_id=encoded.headers["x-embedding-id"])
    assert answer.status_code == 200


def test_different_prompts_in_one_call_are_answered_in_their_order(live: Live, picture_png: bytes) -> None:
    prompts: list[dict[str, Any]] = [{"box": [0, 0, 50, 60]}, POINTS, {"box": [50, 0, 100, 60]}]
    together = ask(live, prompts, picture_png).json()["answers"]
    alone = [ask(live, [prompt], picture_png).json()["answers"][0] for prompt in prompts]
    assert together == alone
    assert together[0] != together[2]


def test_prompts_that_are_alike_are_decoded_together(bundle: ServedBundle, picture_png: bytes) -> None:
    with live_server(bundle) as server:
        assert ask(server, [{"box": BOX}] * 8 + [POINTS] * 3, picture_png).status_code == 200
        metrics = server.client.get("/metrics").text
    assert 'sam_export_batch_size_count{queue="decoder"} 2.0' in metrics
    assert 'sam_export_batch_size_sum{queue="decoder"} 11.0' in metrics


@pytest.mark.parametrize(
    ("body", "status", "code", "says"),
    [
        ({"prompts": []}, 422, "request_invalid", "prompts"),
        ({"prompts": [{"box": BOX}] * 65}, 422, "request_invalid", "<= 64"),
        ({"prompts": [{"box": BOX}]}, 422, "request_invalid", "neither of image and embedding_id"),
        ({"prompts": [{"box": BOX, "colour": 1}]}, 422, "request_invalid", "colour"),
        ({"prompts": [{"box": [1, 2, 3]}]}, 422, "request_invalid", "box"),
        ({"prompts": [{}], "image": True}, 422, "request_invalid", "image"),
        ({"prompts": [{"box": BOX}], "embedding_id": "../../x"}, 422, "request_invalid", "embedding_id"),
        ({"prompts": [{"box": BOX}], "embedding_id": "0" * 64}, 404, "embedding_unknown", "send the picture again"),
        ({"prompts": [{}]}, 422, "prompt_invalid", "prompt 0: prompt: no point and no box"),
        ({"prompts": [{"box": BOX}, {"box": [5, 5, 1, 9]}]}, 422, "prompt_invalid", "prompt 1: box 5,5,1,9: empty"),
        ({"prompts": [{"box": [0, 0, 999, 9]}]}, 422, "prompt_invalid", "reaches outside the picture"),
        ({"prompts": [{"point_coords": [[1, 1]]}]}, 422, "prompt_invalid", "point_labels is missing"),
        ({"prompts": [{"point_coords": [[1, 1]], "point_labels": [7]}]}, 422, "prompt_invalid", "7 is no label"),
        ({"prompts": [{"box": BOX, "mask_input": "AAAA"}]}, 422, "prompt_invalid", "3 bytes, this model takes 4096"),
        ({"prompts": [{"box": BOX}], "mask_format": "tiff"}, 422, "request_invalid", "tiff"),
    ],
    ids=str,
)
def test_wrong_requests(
    live: Live, picture_png: bytes, body: dict[str, Any], status: int, code: str, says: str
) -> None:
    if code == "prompt_invalid":
        body = {**body, "image": base64.b64encode(picture_png).decode()}
    answer = live.client.post("/v1/masks", json=body)
    assert answer.status_code == status
    assert answer.json()["code"] == code
    assert says in answer.json()["detail"]


@pytest.mark.parametrize(
    "data",
    [b"{", b"\xff\xfe", b"[" * 100_000, b"1e999999", b'{"prompts": [{"box": [NaN, 0, 1, 1]}]}'],
    ids=["cut", "not UTF-8", "deep", "a number", "NaN"],
)
def test_what_is_no_such_json_is_refused(live: Live, data: bytes) -> None:
    answer = live.client.post("/v1/masks", content=data)
    assert answer.status_code in (400, 422)
    assert answer.json()["code"] in ("not_json", "request_invalid")
