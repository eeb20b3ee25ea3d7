"""From a bundle on disk to a `Segmenter`: hashes first, then the variant, the engine of its target, the self-test."""

from __future__ import annotations

from pathlib import Path

from ..contract import COMPONENT_NAMES, EngineOptions, Session
from ..errors import BundleError, RequestError
from ..manifest import BundleVariant, GraphEntry, Manifest, inside, read_manifest
from .embedding_key import EmbeddingKey
from .engines import open_session
from .segmenter import Segmenter
from .selftest import load_selftest

Shape = tuple[int | str, ...]


def open_bundle(path: Path | str, *, variant: str | None = None, options: EngineOptions | None = None) -> Segmenter:
    """Return the bundle's model, ready for `set_image`. Every file's hash is checked before an engine sees one.

    Args:
        variant: needed only where the bundle holds several.
        options: what to ask of the engine. Left alone, it computes in the precision that the bundle was verified in;
            what it really does is in `Segmenter.reports`.

    Raises:
        BundleError: not a bundle, or a damaged one.
        RequestError: no such variant, or several and none named.
        UnsupportedError: this machine has no such engine, device or compute precision.
        MissingDependencyError: the engine's package is not installed.
    """
    bundle = Path(path)
    manifest = read_manifest(bundle)
    chosen = choose_variant(bundle, manifest, variant)
    _check_contracts(bundle, manifest, chosen)
    selftest = load_selftest(bundle, manifest)
    sessions = {name: _open_graph(bundle, manifest.target, graph, options) for name, graph in chosen.graphs.items()}
    card, outputs = manifest.model, chosen.graphs["image_encoder"].contract.outputs
    key = EmbeddingKey(card.model, card.checkpoint_sha256, outputs)
    return Segmenter(sessions, manifest.preprocessing, manifest.mask_rule, selftest=selftest, embedding_key=key)


def choose_variant(bundle: Path, manifest: Manifest, name: str | None) -> BundleVariant:
    """Return the variant of that name, or the only one; it has both components."""
    names = [variant.name for variant in manifest.variants]
    found = [variant for variant in manifest.variants if name in (None, variant.name)]
    if len(found) != 1:
        asked = "no variant named" if name is None else f"variant {name!r} asked for"
        raise RequestError(f"{bundle}: {asked}, it has: {', '.join(names) or 'none'}; give one of them")
    missing = set(COMPONENT_NAMES) - set(found[0].graphs)
    if missing:
        raise BundleError(
            f"{bundle}: variant {found[0].name} has no {', '.join(sorted(missing))}; export the bundle again"
        )
    return found[0]


def _check_contracts(bundle: Path, manifest: Manifest, variant: BundleVariant) -> None:
    """Refuse graphs without the tensors that answers are made of, and a mask rule that asks for masks not there."""
    pre, rule = manifest.preprocessing, manifest.mask_rule
    shapes = {name: _shapes(graph) for name, graph in variant.graphs.items()}
    wanted: tuple[tuple[str, str, Shape], ...] = (
        ("image_encoder", "image", (1, 3, *pre.image_hw)),
        ("image_encoder", "image_embeddings", (1, "C", "h", "w")),
        ("mask_decoder", "low_res_masks", ("B", "M", *rule.mask_hw)),
        ("mask_decoder", "iou_predictions", ("B", "M")),
    )
    for component, name, shape in wanted:
        found = shapes[component].get(name, ())
        if not _agrees(found, shape):
            raise BundleError(
                f"{bundle}: {component} has {name} {list(found)}, preprocessing and mask rule say {list(shape)}; "
                "export the bundle again"
            )
    masks, asked = shapes["mask_decoder"]["low_res_masks"][1], max((rule.single_mask_token, *rule.multimask_tokens))
    if isinstance(masks, int) and asked >= masks:
        raise BundleError(f"{bundle}: its mask rule asks for mask {asked} of {masks}; export the bundle again")


def _shapes(graph: GraphEntry) -> dict[str, Shape]:
    return {spec.name: spec.shape for spec in (*graph.contract.inputs, *graph.contract.outputs)}


def _agrees(found: Shape, wanted: Shape) -> bool:
    """Return whether a shape has the rank, and the sizes that both know."""
    return len(found) == len(wanted) and all(
        isinstance(size, str) or isinstance(want, str) or size == want for size, want in zip(found, wanted, strict=True)
    )


def _open_graph(bundle: Path, target: str, graph: GraphEntry, options: EngineOptions | None) -> Session:
    return open_session(inside(bundle, graph.open_path), graph.contract, target, graph.recipe, options)
