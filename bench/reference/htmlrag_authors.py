"""Runs the HtmlRAG authors' cleaning and block tree (plageon/HtmlRAG, toolkit/htmlrag/html_utils.py) on pages.

    python htmlrag_authors.py CHECKOUT

Reads a JSON string a line, a page; writes a JSON object a line:
    seconds   of clean_html and build_block_tree at 256 words, the parse included
    blocks    path, is_leaf and text of each block
    elements  name and depth of each element that html.parser finds, in order
    text      of the page as html.parser reads it
Needs Python 3 and beautifulsoup4. What else the authors' module imports, for its embeddings, pruning and export, is
replaced by empty modules.
"""

import json
import os
import sys
import time
import types


class Unused(types.ModuleType):
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


for name in (
    "anytree",
    "anytree.exporter",
    "langchain_community",
    "langchain_community.embeddings",
    "langchain_core",
    "langchain_core.documents",
    "langchain_text_splitters",
    "numpy",
):
    sys.modules[name] = Unused(name)
sys.modules["numpy"].float32 = float

sys.path.insert(0, os.path.join(sys.argv[1], "toolkit", "htmlrag"))
import bs4  # noqa: E402
import html_utils  # noqa: E402

MAX_NODE_WORDS = 256


def elements(soup):
    found = []
    stack = [(iter(soup.contents), 0)]
    while stack:
        children, depth = stack[-1]
        child = next(children, None)
        if child is None:
            stack.pop()
        elif isinstance(child, bs4.element.Tag):
            found.append([child.name, depth])
            stack.append((iter(child.contents), depth + 1))
    return found


for line in sys.stdin:
    html = json.loads(line)
    started = time.perf_counter()
    trees, _ = html_utils.build_block_tree(html_utils.clean_html(html), max_node_words=MAX_NODE_WORDS)
    seconds = time.perf_counter() - started
    soup = bs4.BeautifulSoup(html, "html.parser")
    print(
        json.dumps(
            {
                "seconds": seconds,
                "blocks": [
                    {"path": path, "is_leaf": is_leaf, "text": " ".join(tag.get_text(" ").split())}
                    for tag, path, is_leaf in trees
                ],
                "elements": elements(soup),
                "text": soup.get_text(),
            }
        ),
        flush=True,
    )
