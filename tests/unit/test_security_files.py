"""Nothing is unpickled, and no file is believed about its size: a bait leaves a mark where it is opened."""

import contextlib
import io
import json
import pickle
import plistlib
import struct
import zipfile
import zlib

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from sightline import arrays, tables
from sightline.datasets import inbreast_contours, picture_headers, upstream
from sightline.errors import DatasetError, IntegrityError, TableError
from sightline.models import checkpoint, weights
from sightline.preparing import pictures


class Bait:
    """Unpickled, it writes a file."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (open, (str(self.mark), "w"))


@pytest.fixture
def mark(tmp_path):
    path = tmp_path / "was_unpickled"
    yield path
    assert not path.exists()


def test_the_bait_works(tmp_path):
    pickle.loads(pickle.dumps(Bait(tmp_path / "here")))  # noqa: S301
    assert (tmp_path / "here").exists()


# ---- weights and checkpoints


def as_zip(bait: bytes) -> bytes:
    """A file as torch.save makes it, whose pickle is `bait`."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in (("data.pkl", bait), ("version", b"3"), ("byteorder", b"little")):
            archive.writestr(f"archive/{name}", data)
    return file.getvalue()


@pytest.mark.parametrize("protocol", [0, 2])
@pytest.mark.parametrize("wrap", [bytes, as_zip], ids=["plain", "zip"])
@pytest.mark.parametrize("name", ["a.pt", "a.pth", "a.ckpt", "a.safetensors"])
def test_no_weights_are_unpickled(tmp_path, mark, name, wrap, protocol):
    (tmp_path / name).write_bytes(wrap(pickle.dumps(Bait(mark), protocol=protocol)))
    with pytest.raises((DatasetError, IntegrityError), match=name):
        weights.read(tmp_path / name)


@pytest.mark.parametrize("part", ["content", "identity"])
def test_no_checkpoint_is_unpickled(tmp_path, mark, part):
    torch.save({"identity": "mine", "content": {}} | {part: Bait(mark)}, tmp_path / "a.pt")
    said: list[str] = []
    assert checkpoint.read_checkpoint(tmp_path / "a.pt", "mine", said.append) is None
    assert "training starts anew" in said[0]


def safetensors(header: dict | bytes, body: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


@pytest.mark.parametrize(
    "content",
    [
        safetensors({}, length=1 << 62),
        safetensors({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}),
        safetensors({"a": {"dtype": "F32", "shape": [1 << 40, 1 << 40], "data_offsets": [0, 4]}}, b"\0" * 4),
        safetensors({"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 4]}}, b"\0" * 4),
        safetensors({"a": {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}}, b"\0" * 4),
        safetensors({"a": {"dtype": "O", "shape": [1], "data_offsets": [0, 4]}}, b"\0" * 4),
        safetensors(b"[" * 100_000),
        b"",
    ],
    ids=["header beyond", "body beyond", "overflow", "other size", "before", "objects", "nested", "empty"],
)
def test_a_safetensors_file_that_lies_is_refused(tmp_path, content):
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(IntegrityError, match="a.safetensors: not a whole"):
        weights.read(tmp_path / "a.safetensors")


# ---- stores


def npy(description: str, body: bytes) -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + description.encode().ljust(117) + b"\n" + body


LIES = "{'descr': '|u1', 'fortran_order': False, 'shape': (%s,), }"
OBJECTS = "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"


def object_array(mark) -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([Bait(mark)], dtype=object), allow_pickle=True)
    return file.getvalue()


def archive(mark) -> bytes:
    file = io.BytesIO()
    np.savez(file, a=np.zeros(3))
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        object_array,
        lambda mark: pickle.dumps(Bait(mark)),
        lambda mark: npy(OBJECTS, pickle.dumps(Bait(mark))),
        lambda mark: npy(OBJECTS, b""),
        archive,
        lambda mark: npy(LIES % (1 << 60), b"x" * 10),
        lambda mark: npy("__import__('os').system('true')", b""),
        lambda mark: b"",
    ],
    ids=["objects", "a pickle", "objects by hand", "no objects", "npz", "longer", "code", "empty"],
)
def test_no_store_is_unpickled_or_believed(tmp_path, mark, content):
    (tmp_path / "values.npy").write_bytes(content(mark))
    with pytest.raises(IntegrityError, match="values.npy: not a whole array file"):
        arrays.open_flat(tmp_path / "values.npy")


def test_a_view_ends_with_its_store(tmp_path):
    with arrays.Writer(tmp_path / "values.npy", np.uint8) as writer:
        writer.append(np.arange(10, dtype=np.uint8))
    flat = arrays.open_flat(tmp_path / "values.npy")
    for offset, shape in ((-1, (2,)), (9, (2,)), (0, (11,)), (0, (-5, 3))):
        with pytest.raises(IntegrityError):
            arrays.view(flat, offset, shape)


# ---- tables


def skipped() -> pd.DataFrame:
    row = {"dataset": "d", "stage": "read", "item": "i", "path": "p", "reason": "r"}
    return pd.DataFrame([row], columns=list(tables.SCHEMAS["skipped"].columns))


def test_metadata_of_a_table_is_not_unpickled(tmp_path, mark):
    """Arrow once made types out of fields that say they are Python's; pandas reads what describes columns."""
    path, bait = tmp_path / "skipped.parquet", pickle.dumps(Bait(mark))
    tables.write("skipped", skipped(), path)
    table = pq.read_table(path)
    said = {"ARROW:extension:name": b"arrow.py_extension_type", "ARROW:extension:metadata": bait}
    fields = [field.with_metadata(said) for field in table.schema]
    described = {"index_columns": ["item"], "columns": [{"name": "item", "pandas_type": "object"}]}
    metadata = {"pandas": json.dumps(described).encode(), "pickle": bait}
    pq.write_table(table.cast(pa.schema(fields)).replace_schema_metadata(metadata), path)
    found = tables.read("skipped", path)
    assert found.equals(skipped()) and list(found.columns) == list(skipped().columns)


def test_a_table_of_objects_of_pythons_is_refused(tmp_path, mark):
    path = tmp_path / "skipped.parquet"
    frame = skipped().assign(reason=[pickle.dumps(Bait(mark))])
    pq.write_table(pa.table(frame), path)
    with pytest.raises(TableError, match="differs from its schema in the column.* reason"):
        tables.read("skipped", path)


@pytest.mark.parametrize("change", [lambda data: data[:-20], lambda data: b"", lambda data: data[::-1]])
def test_a_table_that_is_none_is_named(tmp_path, change):
    path = tmp_path / "skipped.parquet"
    tables.write("skipped", skipped(), path)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(TableError, match="skipped.parquet: table 'skipped' is not a whole Parquet file"):
        tables.read("skipped", path)


# ---- bombs


def plist(entities: str, text: str) -> bytes:
    kind = '<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://127.0.0.1:1/p.dtd"'
    return f'<?xml version="1.0"?>{kind} [{entities}]><plist><dict><key>{text}</key></dict></plist>'.encode()


LAUGHS = "".join(f'<!ENTITY l{level} "{f"&l{level - 1};" * 10 if level else "ha"}">' for level in range(10))
FILE = '<!ENTITY x SYSTEM "file:///etc/hostname">'


@pytest.mark.parametrize(
    "content",
    [
        plist(LAUGHS, "&l9;"),
        plist(FILE, "&x;"),
        plist('<!ENTITY % x SYSTEM "http://127.0.0.1:1/x.dtd"> %x;', "a"),
        b'<?xml version="1.0"?><plist>' + b"<array>" * 50_000 + b"</array>" * 50_000 + b"</plist>",
        plistlib.dumps({"Images": []}, fmt=plistlib.FMT_BINARY),
        b"<plist><dict><key>Images</key><integer>" + b"9" * 100_000 + b"</integer></dict></plist>",
    ],
    ids=["laughs", "a file", "another's entities", "nested", "binary", "a long number"],
)
def test_contours_that_would_swell_or_fetch_are_refused(tmp_path, content):
    (tmp_path / "1.xml").write_bytes(content)
    with pytest.raises(DatasetError, match="1.xml: not a list of regions"):
        inbreast_contours.read(tmp_path / "1.xml", tmp_path)


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG that says it is of that size, with little in it."""
    head = (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    parts = [head, *chunks, (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + body


def jpeg(width: int, height: int) -> bytes:
    """A JPEG of 8 x 8 whose header says another size."""
    file = io.BytesIO()
    Image.new("L", (8, 8)).save(file, "jpeg")
    data = bytearray(file.getvalue())
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


TEXT = (b"zTXt", b"Comment\0\0" + zlib.compress(bytes(50_000_000)))


@pytest.mark.parametrize(
    "content", [png(60_000, 60_000), png(2**31 - 1, 2**31 - 1), jpeg(65_000, 65_000), png(8, 8, TEXT)],
    ids=["png", "largest png", "jpeg", "text of a png"],
)  # fmt: skip
def test_pictures_that_would_swell_are_refused_unopened(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ValueError):
        pictures.read_file(content, (60_000, 60_000) if len(content) < 40_000 else (8, 8), "grey")
    with contextlib.suppress(*picture_headers.UNREADABLE):  # a size, or one of these; nothing is unpacked
        assert min(picture_headers.size(tmp_path / "a.png")) >= 8


def test_a_huge_cell_is_cut_in_messages_and_refused_as_a_path(tmp_path):
    huge = "x" * 3_000_000
    (tmp_path / "images.csv").write_text(f'image,split\n"{huge}",train\nb,"{huge}"\n')
    table = upstream.read_csv(tmp_path / "images.csv", ["image", "split"], tmp_path)
    with pytest.raises(DatasetError, match="row 3") as caught:
        upstream.require_text(
            tmp_path / "images.csv", table["split"], "train|test", "train or test", tmp_path
        )
    assert len(str(caught.value)) < 500
    with pytest.raises(DatasetError, match="leaves") as caught:
        upstream.inside(tmp_path, huge, "row 2")
    assert len(str(caught.value)) < 500
