"""What a page may have of the bundle, and the page itself."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from sam_export.errors import BundleError, RequestError
from sam_export.manifest import read_manifest
from sam_export.server import ServedBundle, ServerOptions, create_app, open_served_bundle, page

from .live import Live, live_server


def test_the_decoder_and_the_manifest_are_served_and_nothing_else(live: Live, bundle_folder: Path) -> None:
    get = live.client.get
    assert get("/v1/bundle/bundle.json").content == (bundle_folder / "bundle.json").read_bytes()
    assert get("/v1/bundle/mask_decoder.onnx").content == (bundle_folder / "mask_decoder.onnx").read_bytes()
    for path in ("image_encoder.onnx", "selftest/picture.png", "", "mask_decoder.onnx/"):
        assert get(f"/v1/bundle/{path}").status_code == 404


def test_all_of_it_if_so_asked(bundle_folder: Path) -> None:
    with live_server(open_served_bundle(bundle_folder, whole=True)) as server:
        for entry in read_manifest(bundle_folder).files():
            content = server.client.get(f"/v1/bundle/{entry.path}").content
            assert hashlib.sha256(content).hexdigest() == entry.sha256


def test_a_file_that_the_caller_has_is_not_sent_again(live: Live) -> None:
    first = live.client.get("/v1/bundle/mask_decoder.onnx")
    again = live.client.get("/v1/bundle/mask_decoder.onnx", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    head = live.client.head("/v1/bundle/mask_decoder.onnx")
    assert (head.headers["content-length"], head.content) == (str(len(first.content)), b"")


def test_pages_may_decode_with_another_bundle_of_the_same_checkpoint(bundle_folder: Path, tmp_path: Path) -> None:
    for checkpoint in ("0" * 64, "1" * 64):
        other = tmp_path / checkpoint[0]
        other.mkdir()
        for file in bundle_folder.rglob("*"):
            target = other / file.relative_to(bundle_folder)
            target.mkdir() if file.is_dir() else target.write_bytes(file.read_bytes())
        manifest = json.loads((other / "bundle.json").read_text())
        manifest["model"]["checkpoint_sha256"] = checkpoint
        (other / "bundle.json").write_text(json.dumps(manifest))
    served = open_served_bundle(bundle_folder, browser_bundle=tmp_path / "0")
    assert served.files["bundle.json"].path.parent == tmp_path / "0"
    with pytest.raises(BundleError, match="give a bundle of the same checkpoint"):
        open_served_bundle(bundle_folder, browser_bundle=tmp_path / "1")


def test_without_a_page_it_is_said_how_to_build_one(
    bundle: ServedBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "BUILT", tmp_path)  # a clone in which it was built has one
    with live_server(bundle) as server:
        answer = server.client.get("/")
        assert answer.headers["content-type"].startswith("text/html")
        assert "make page" in answer.text


def test_a_built_page_is_shown_isolated(bundle: ServedBundle, tmp_path: Path) -> None:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<title>demo</title>")
    (tmp_path / "assets" / "app.js").write_text("1")
    with live_server(bundle, ServerOptions(page=tmp_path)) as server:
        shown = server.client.get("/")
        assert shown.text == "<title>demo</title>"
        assert shown.headers["cross-origin-opener-policy"] == "same-origin"
        assert shown.headers["cross-origin-embedder-policy"] == "require-corp"
        assert server.client.get("/assets/app.js").headers["content-type"].startswith("text/javascript")
        assert server.client.get("/assets/none.js").json()["code"] == "not_found"
        assert server.client.get("/%2e%2e/%2e%2e/etc/passwd").status_code == 404
        assert server.client.get("/healthz").json() == {"status": "ready"}
        refused = server.client.get("/v1/embeddings")
        assert (refused.status_code, refused.headers["allow"]) == (405, "POST")


def test_a_folder_without_a_page_is_refused(bundle: ServedBundle, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"no index\.html"):
        create_app(bundle, ServerOptions(page=tmp_path))
