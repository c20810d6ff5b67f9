"""What changes a fingerprint and what does not."""

import ast
import gc
import os
import shutil
import time
from pathlib import Path

import pytest

from sightline import provenance
from sightline.errors import SightlineError

ROOT = Path(__file__).resolve().parents[2]
TREE = {
    "scripts/train.py": '"""T."""\nfrom sightline.models import training\nimport os\ntraining.fit(os.sep)\n',
    "scripts/score.py": "from sightline.scoring import score\n\nscore()\n",
    "src/sightline/__init__.py": "",
    "src/sightline/ground.py": "import numpy as np\n\nHALF = np.float64(0.5)\n",
    "src/sightline/models/__init__.py": "",
    "src/sightline/models/training.py": "def fit(x):\n    from sightline.ground import HALF\n    return x\n",
    "src/sightline/models/other.py": "import cv2\n",
    "src/sightline/models/template.html": "<p>",
    "src/sightline/methods/__init__.py": "",
    "src/sightline/methods/gradcam.py": "import sklearn\n",
    "src/sightline/methods/lime.py": "",
    "src/sightline/scoring.py": "from sightline import published\ndef score():\n    return published.x()\n",
    "src/sightline/published.py": "def x():\n    return 1\n",
    "src/sightline/published/table.csv": "a,b\n",
    "requirements.lock": "numpy==2.0 \\\n --hash=sha256:1\nopencv_python.headless==5.0\nscikit_learn==1.9\n",
}


@pytest.fixture
def tree(tmp_path) -> Path:
    root = tmp_path / "clone"
    for name, text in TREE.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def train(root: Path, modules=()) -> str:
    return provenance.fingerprint(root / "scripts/train.py", root, modules)


def score(root: Path) -> str:
    return provenance.fingerprint(root / "scripts/score.py", root)


def rewrite(root: Path, name: str, text: str) -> None:
    (root / name).write_text(text)
    stamp = (
        time.time_ns() + 1_000_000_000
    )  # an edit within one tick of the file system's clock is an edit too
    os.utime(root / name, ns=(stamp, stamp))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "src/sightline/ground.py",
            '"""Doc."""\n# why\nimport numpy as np\nHALF = (np.float64(\n    0.5))\n',
        ),
        (
            "src/sightline/models/training.py",
            'def fit(x):  #\n    "D."\n    from sightline.ground import HALF\n    return x\n    "text"\n',
        ),
        ("scripts/train.py", "from sightline.models import training\nimport os\ntraining.fit(os.sep)\n"),
        ("src/sightline/models/other.py", "import cv2\n\nx = 1\n"),
        ("src/sightline/scoring.py", "def score():\n    return 3\n"),
        ("src/sightline/published/table.csv", "c\n"),
        ("src/sightline/methods/gradcam.py", "x = 3\n"),
        (
            "requirements.lock",
            TREE["requirements.lock"].replace("5.0", "6.0").replace("sha256:1", "sha256:2"),
        ),
        ("src/sightline/models/.hidden", "x"),
    ],
)
def test_what_has_no_bearing_on_the_script_keeps_its_fingerprint(tree, name, text):
    before = train(tree)
    rewrite(tree, name, text)
    assert train(tree) == before


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("src/sightline/ground.py", "import numpy as np\n\nHALF = np.float64(0.25)\n"),
        ("src/sightline/ground.py", "import numpy as np\n\nHALF = np.float32(0.5)\n"),
        (
            "src/sightline/models/training.py",
            "def fit(y):\n    from sightline.ground import HALF\n    return y\n",
        ),
        (
            "scripts/train.py",
            "from sightline.models import training\nimport os\n\ntraining.fit(os.linesep)\n",
        ),
        ("src/sightline/__init__.py", "x = 1\n"),
        ("src/sightline/models/template.html", "<b>"),
        ("src/sightline/models/second.html", ""),
        ("requirements.lock", TREE["requirements.lock"].replace("numpy==2.0", "numpy==2.1")),
    ],
)
def test_what_the_script_reaches_changes_its_fingerprint_and_undone_restores_it(tree, name, text):
    before = train(tree)
    rewrite(tree, name, text)
    assert train(tree) != before
    if name in TREE:
        rewrite(tree, name, TREE[name])
    else:
        (tree / name).unlink()
    assert train(tree) == before


def test_a_folder_of_data_belongs_to_the_module_of_its_name(tree):
    training, scoring = train(tree), score(tree)
    rewrite(tree, "src/sightline/published/table.csv", "c\n")
    assert train(tree) == training
    assert score(tree) != scoring


def test_a_clone_elsewhere_has_the_same_fingerprint(tree, tmp_path):
    other = shutil.copytree(tree, tmp_path / "elsewhere/deep")
    for path in other.rglob("*.py"):
        os.utime(path, (1, 1))
    assert train(other) == train(tree)


def test_modules_found_by_name_count_only_where_they_are_named(tree):
    alone, with_gradcam = train(tree), train(tree, ["sightline.methods.gradcam"])
    assert with_gradcam != alone
    assert train(tree, ["sightline.methods.lime"]) not in (alone, with_gradcam)
    rewrite(tree, "src/sightline/methods/gradcam.py", "import sklearn\n\nx = 3\n")
    assert train(tree) == alone
    assert train(tree, ["sightline.methods.gradcam"]) != with_gradcam
    gradcam = provenance.parts(tree / "scripts/train.py", tree, ["sightline.methods.gradcam"])
    assert gradcam["scikit-learn=="] == "1.9"
    assert "opencv-python-headless==" not in gradcam


def test_parts_name_all_that_counts(tree):
    assert set(provenance.parts(tree / "scripts/train.py", tree)) == {
        "script",
        "sightline",
        "sightline.models",
        "sightline.models.training",
        "sightline.ground",
        "src/sightline/models/template.html",
        "numpy==",
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import nowhere\n", ["nowhere", "training.py:1", "requirements.lock"]),
        ("x = 1\nfrom sightline.nowhere import y\n", ["sightline.nowhere", "training.py:2"]),
        ("from . import other\n", ["relative", "training.py:1"]),
        ("def f(:\n", ["not valid Python", "training.py:1"]),
        ("import importlib\n\nimportlib.import_module('nowhere')\n", ["nowhere", "training.py:3"]),
    ],
)
def test_an_import_that_cannot_be_placed_is_named(tree, text, said):
    rewrite(tree, "src/sightline/models/training.py", text)
    with pytest.raises(SightlineError) as raised:
        train(tree)
    assert all(word in str(raised.value) for word in said)


def test_constants_of_equal_value_and_other_type_differ(tree):
    found = set()
    for text in (
        "x = 1",
        "x = 1.0",
        "x = True",
        "x = '1'",
        "x = b'1'",
        "x = 1j",
        "x = None",
        "x = ...",
        "x = {1}",
        "x = [1]",
    ):
        rewrite(tree, "src/sightline/ground.py", text)
        found.add(train(tree))
    assert len(found) == 10


# every kind of statement and expression whose tree changed between Python versions
GRAMMAR = '''
"""Doc."""
from __future__ import annotations
import os, sys as system
raw = rb"x\\xff"
type_ = int
@decorator(1, *a, **k)
class C(Base, metaclass=Meta):
    """Doc."""
    field: int = 3
    async def f(self, a, /, b: int = 2, *c, d, e=None, **g) -> None:
        """Doc."""
        async with x as y, z: pass
        async for i in y:
            await i
        return [j async for j in k if j if not j]
def g():
    global h, i
    try:
        x = yield
    except* (ValueError, OSError) as error:
        raise error from None
    match x:
        case [1, *rest] | {"a": 1, **others}: ...
        case C(field=3) if y: ...
        case None: return
    return lambda a, *b: f"a" f"{x!r:>{w}.2f} {y=} \\u00e9 {z:%Y}" u"z" if a[1:2, ..., ::3] else {**b}
with open(x) as f, g: del a, b[0], c.d
assert (n := 10) > 5 < 3 != 1e300 and -0.0 or not 1_000j, "no"
while x: break
else: x @= y
'''
GRAMMAR_DIGEST = "4bfd02457b5113e42e879b3df71d4b11425837dd4d1f35738d2ae352897a4ff6"


def test_the_meaning_of_a_file_is_that_of_every_supported_python(tmp_path):
    # a recorded number: it must come out alike wherever these tests run, on Python 3.11 to 3.13
    script = tmp_path / "script.py"
    script.write_text(GRAMMAR, encoding="utf-8")
    assert provenance.parts(script, tmp_path) == {"script": GRAMMAR_DIGEST}


def test_the_whole_project_is_fingerprinted_in_a_blink(request):
    paths = (path.relative_to(ROOT / "src").with_suffix("") for path in (ROOT / "src").rglob("[a-z]*.py"))
    modules = [".".join(path.parts) for path in paths]
    scripts = sorted((ROOT / "scripts").glob("*.py"))
    gc.collect()
    gc.disable()  # what other tests left would be walked through again and again
    request.addfinalizer(gc.enable)
    start = time.process_time()
    for path in (ROOT / "src").rglob("[a-z]*.py"):
        ast.parse(path.read_bytes())
    parsing = time.process_time() - start
    provenance._sources.clear()
    start = time.process_time()
    provenance.fingerprint(scripts[0], ROOT, modules)  # every module once
    found = [provenance.fingerprint(script, ROOT) for script in scripts]
    # about 3: each file is parsed and walked once; once per script would be tens
    assert time.process_time() - start < 6 * parsing
    assert len(set(found)) == len(scripts)
