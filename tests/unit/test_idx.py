"""The idx format: arrays of bytes, plain or gzipped; what is refused; the real digits by their digests."""

import gzip
import hashlib
import struct
import tracemalloc

import numpy as np
import pytest

from sightline.datasets import idx
from sightline.errors import DatasetError

DIGITS = np.random.default_rng(0).integers(0, 256, (5, 4, 3), dtype=np.uint8)


def head(kind: int, *shape: int) -> bytes:
    return struct.pack(">HBB", 0, kind, len(shape)) + struct.pack(f">{len(shape)}I", *shape)


WHOLE = head(8, 5, 4, 3) + DIGITS.tobytes()
PACKED = gzip.compress(WHOLE, mtime=0)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("values", [DIGITS, DIGITS[:, 0, 0], DIGITS[:0], DIGITS[0]])
def test_arrays_come_back(tmp_path, pack, values):
    path = tmp_path / "x"
    path.write_bytes(pack(head(8, *values.shape) + values.tobytes()))
    found = idx.read(path)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "begins with 0x, an idx file of bytes with 0x000008"),
        (b"\x00\x00\x0d\x03" + WHOLE[4:], "begins with 0x00000d03"),
        (b"PK\x03\x04rest", "begins with 0x504b0304"),
        (b"\x00\x00\x08\x07" + WHOLE[4:], "1 to 3 axes"),
        (WHOLE[:11], "not a whole idx file"),
        (WHOLE[:-1], r"holds fewer than the 60 values of its shape \(5, 4, 3\)"),
        (WHOLE + b"\0", "holds more than the 60 values"),
        (PACKED[:-12], "not a whole idx file"),
        (PACKED[:50] + b"\xff\xff\xff" + PACKED[53:], "not a whole idx file"),
        (gzip.compress(b"", mtime=0), "begins with 0x,"),
        (head(8, 60000, 60000, 60000), "says that it holds 216000000000000 values, at most"),
    ],
    ids=[str(number) for number in range(11)],
)
def test_what_is_refused(tmp_path, content, words):
    (tmp_path / "x.idx.gz").write_bytes(content)
    with pytest.raises(DatasetError, match=rf"^x\.idx\.gz: .*{words}.*take it again from its source"):
        idx.read(tmp_path / "x.idx.gz", tmp_path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"^x\.idx: missing; put the file there"):
        idx.read(tmp_path / "x.idx", tmp_path)


def test_a_gzip_bomb_is_unpacked_no_further_than_its_head_says():
    bomb = gzip.compress(head(8, 10) + bytes(100_000_000), 1)
    tracemalloc.start()
    with pytest.raises(DatasetError, match="holds more than the 10 values"):
        idx.parsed(bomb, "x")
    assert tracemalloc.get_traced_memory()[1] < 2e6
    tracemalloc.stop()


def test_the_real_digits(real):
    folder = real / "mnist_idx"
    if not folder.is_dir():
        pytest.skip(f"{folder}: the real digits are not there")
    for name, shape, digest in (
        ("t10k-images-idx3-ubyte.gz", (10_000, 28, 28), "2646ac647ad5339dbf082846283269ea"),
        ("t10k-labels-idx1-ubyte.gz", (10_000,), "27ae3e4e09519cfbb04c329615203637"),
    ):
        values = idx.read(folder / name)
        assert values.shape == shape
        raw = head(8, *shape) + values.tobytes()
        assert hashlib.md5(raw, usedforsecurity=False).hexdigest() == digest
    assert np.bincount(idx.read(folder / "t10k-labels-idx1-ubyte.gz")).tolist() == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009
    ]  # fmt: skip
