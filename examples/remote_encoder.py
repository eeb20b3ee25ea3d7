"""Have a picture encoded by `sam-export serve`, and answer prompts on it here.

    remote_encoder.py SERVER BUNDLE PICTURE X0,Y0,X1,Y1 MASK.png

BUNDLE is any bundle of the same checkpoint: its decoder answers, its encoder is not run.
"""

import sys
from pathlib import Path
from urllib.request import Request, urlopen

from PIL import Image

from sam_export import open_bundle

server, bundle, picture, box, out = sys.argv[1:]

request = Request(
    f"{server.rstrip('/')}/v1/embeddings",
    data=Path(picture).read_bytes(),  # the file as it is
    headers={"Accept": "application/vnd.sam-export.semb; dtype=int8"},  # a quarter of fp32's bytes
)
with urlopen(request) as response:
    embedding = response.read()

segmenter = open_bundle(bundle)
segmenter.load_embedding(embedding)  # refused if it is of another checkpoint
masks, _, _ = segmenter.predict(box=[float(side) for side in box.split(",")], multimask_output=False)
Image.fromarray(masks[0]).save(out)
print(f"{out}: from {len(embedding) / 1e6:.2f} MB of embedding")
