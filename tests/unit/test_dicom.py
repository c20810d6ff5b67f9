"""DICOM files: every kind of pixel that mammograms come in, against pydicom and the standard's formulas."""

import io
import tracemalloc

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels import apply_voi_lut

from sightline import dicom
from sightline.errors import DatasetError
from tests.unit import dicom_files

SHAPE = (48, 36)
RAMP = (np.add.outer(7 * np.arange(48), 11 * np.arange(36)) + 40).astype(np.uint16)  # 40 to 754
EIGHT = (RAMP // 4).astype(np.uint8)


def spread(values: np.ndarray) -> np.ndarray:
    """From the smallest to the largest, 0 to 1."""
    values = values.astype(float)
    return (values - values.min()) / (values.max() - values.min())


def close(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.dtype == np.float32 and 0.0 <= found.min() <= found.max() <= 1.0
    np.testing.assert_allclose(found, expected, atol=2e-6)


@pytest.mark.parametrize("pixels", [RAMP, EIGHT, RAMP.astype(np.int16) - 400, RAMP.astype(np.uint32) * 99])
def test_whole_range_is_spread_and_nothing_clipped(pixels):
    data = dicom_files.content(pixels)
    assert dicom.is_dicom(data)
    found = dicom.picture(data, SHAPE)
    close(found, spread(pixels))
    assert (found == 0).sum() == (found == 1).sum() == 1  # the one darkest and the one brightest pixel


@pytest.mark.parametrize("kind", [kind for kind in dicom_files.SYNTAXES if kind != "jpeg_baseline"])
@pytest.mark.parametrize("pixels", [RAMP, EIGHT, RAMP * 80], ids=["12", "8", "16"])
def test_transfer_syntaxes(kind, pixels, tmp_path):
    stored = {"BitsStored": 12, "HighBit": 11} if pixels is RAMP else {}
    data = dicom_files.compressed(dicom_files.content(pixels, **stored), kind, tmp_path)
    syntax = pydicom.dcmread(io.BytesIO(data)).file_meta.TransferSyntaxUID
    assert syntax != pydicom.uid.ExplicitVRLittleEndian
    close(dicom.picture(data, SHAPE), spread(pixels))


def test_lossy_jpeg(tmp_path):
    data = dicom_files.compressed(dicom_files.content(EIGHT), "jpeg_baseline", tmp_path)
    assert pydicom.dcmread(io.BytesIO(data)).file_meta.TransferSyntaxUID == pydicom.uid.JPEGBaseline8Bit
    np.testing.assert_allclose(dicom.picture(data, SHAPE), spread(EIGHT), atol=0.04)


def test_monochrome1_is_inverted_so_that_air_is_black():
    found = dicom.picture(dicom_files.content(RAMP, PhotometricInterpretation="MONOCHROME1"), SHAPE)
    close(found, 1.0 - spread(RAMP))


def test_fewer_bits_stored_than_allocated():
    """Bits above the stored ones are not the pixel's: old overlays lie there."""
    overlay = RAMP.copy()
    overlay[::2] |= 0x8000
    close(dicom.picture(dicom_files.content(overlay, BitsStored=10, HighBit=9), SHAPE), spread(RAMP))
    signed = RAMP.astype(np.int16) - 400
    twelve = (signed & 0x0FFF).astype(np.uint16)  # the sign is bit 11
    data = dicom_files.content(twelve, BitsStored=12, HighBit=11, PixelRepresentation=1)
    close(dicom.picture(data, SHAPE), spread(signed))


def test_padding_is_black_and_does_not_count():
    padded = RAMP.copy()
    padded[:10] = 4000
    found = dicom.picture(dicom_files.content(padded, PixelPaddingValue=4000), SHAPE)
    assert (found[:10] == 0).all()
    close(found[10:], spread(RAMP[10:]))
    inverted = {"PhotometricInterpretation": "MONOCHROME1", "PixelPaddingValue": 3990}
    found = dicom.picture(dicom_files.content(padded, PixelPaddingRangeLimit=4000, **inverted), SHAPE)
    assert (found[:10] == 0).all()
    close(found[10:], 1 - spread(RAMP[10:]))
    alone = dicom_files.content(np.full(SHAPE, 7, np.uint16), PixelPaddingValue=7)
    assert not dicom.picture(alone, SHAPE).any()


def test_a_negative_rescaling_turns_black_and_white():
    turned = {"RescaleSlope": "-2", "RescaleIntercept": "1000"}
    for window in dicom.WINDOWS:  # there is no window in it
        close(dicom.picture(dicom_files.content(RAMP, **turned), SHAPE, window), 1 - spread(RAMP))


def linear(values: np.ndarray, center: float, width: float) -> np.ndarray:
    """PS3.3 C.11.2.1.2.1, output 0 to 1."""
    return np.clip((values - (center - 0.5)) / (width - 1) + 0.5, 0, 1)


@pytest.mark.parametrize(
    ("function", "formula"),
    [
        (None, linear),
        ("LINEAR", linear),
        ("LINEAR_EXACT", lambda values, center, width: np.clip((values - center) / width + 0.5, 0, 1)),
        ("SIGMOID", lambda values, center, width: 1 / (1 + np.exp(-4 * (values - center) / width))),
    ],
)
def test_windows(function, formula):
    elements = {"WindowCenter": ["400", "1"], "WindowWidth": ["200", "2"]}  # the first is meant
    elements |= {} if function is None else {"VOILUTFunction": function}
    data = dicom_files.content(RAMP, BitsStored=12, HighBit=11, **elements)
    close(dicom.picture(data, SHAPE, "dicom"), formula(RAMP.astype(float), 400, 200))
    close(dicom.picture(data, SHAPE), spread(RAMP))
    # the window is of rescaled values
    rescaled = dicom_files.content(RAMP, RescaleSlope="0.5", RescaleIntercept="300", **elements)
    close(dicom.picture(rescaled, SHAPE, "dicom"), formula(0.5 * RAMP + 300.0, 400, 200))
    falling = dicom_files.content(RAMP, RescaleSlope="-1", RescaleIntercept="800", **elements)
    close(dicom.picture(falling, SHAPE, "dicom"), formula(800.0 - RAMP, 400, 200))
    inverted = dicom_files.content(RAMP, PhotometricInterpretation="MONOCHROME1", **elements)
    close(dicom.picture(inverted, SHAPE, "dicom"), 1 - formula(RAMP.astype(float), 400, 200))


def lut(first: int, values: np.ndarray, bits: int) -> list[Dataset]:
    item = Dataset()
    item.LUTDescriptor = [len(values), first, bits]
    item.LUTData = values.astype("<u2").tobytes()
    item["LUTData"].VR = "OW"
    item["LUTDescriptor"].VR = "US"
    return [item]


def test_a_voi_lut_comes_before_a_window():
    table = np.round(1023 * (np.arange(500) / 499) ** 2).astype(np.uint16)
    elements = {"VOILUTSequence": lut(100, table, 10), "WindowCenter": "400", "WindowWidth": "9"}
    data = dicom_files.content(RAMP, **elements)
    expected = table[np.clip(RAMP.astype(int) - 100, 0, 499)] / 1023.0
    close(dicom.picture(data, SHAPE, "dicom"), expected)
    opened = pydicom.dcmread(io.BytesIO(data))
    np.testing.assert_allclose(apply_voi_lut(opened.pixel_array, opened) / 1023.0, expected)


def test_a_modality_lut_is_applied_whatever_the_window():
    table = np.arange(800)[::-1] ** 2 // 10
    data = dicom_files.content(RAMP, ModalityLUTSequence=lut(0, table, 16))
    close(dicom.picture(data, SHAPE), spread(table[RAMP]))
    windowed = dicom_files.content(
        RAMP, ModalityLUTSequence=lut(0, table, 16), WindowCenter="20000", WindowWidth="9000"
    )
    close(dicom.picture(windowed, SHAPE, "dicom"), linear(table[RAMP].astype(float), 20000, 9000))


def test_colours_become_luma(tmp_path):
    colours = np.random.default_rng(0).integers(0, 256, (*SHAPE, 3), dtype=np.uint8)
    luma = colours @ np.array([0.299, 0.587, 0.114])
    close(dicom.picture(dicom_files.content(colours), SHAPE), spread(luma))
    flat = np.repeat(EIGHT[..., None], 3, axis=2)
    neutral = flat.copy()
    neutral[..., 1:] = 128  # YBR_FULL of a grey picture
    data = dicom_files.content(neutral, PhotometricInterpretation="YBR_FULL")
    np.testing.assert_allclose(dicom.picture(data, SHAPE), spread(EIGHT), atol=0.01)


def test_stored_values_are_those_of_the_file(tmp_path):
    """As masks are read: no inversion, window or spreading."""
    elements = {"PhotometricInterpretation": "MONOCHROME1", "WindowCenter": "5", "WindowWidth": "2"}
    data = dicom_files.content(RAMP, RescaleSlope="-1", RescaleIntercept="9", **elements)
    for one in (data, dicom_files.compressed(data, "lossless_sv1", tmp_path)):
        np.testing.assert_array_equal(dicom.stored(one), RAMP)
    with pytest.raises(ValueError, match="holds 3 pictures"):
        dicom.stored(dicom_files.content(RAMP, NumberOfFrames=3))


def test_a_constant_picture_is_black():
    assert not dicom.picture(dicom_files.content(np.full(SHAPE, 700, np.uint16)), SHAPE).any()


def of_another_stream(folder) -> bytes:
    """A JPEG 2000 of 48 x 36 under a header that says 36 x 48, as a decompression bomb has it."""
    made = pydicom.dcmread(io.BytesIO(dicom_files.compressed(dicom_files.content(RAMP), "jpeg_2000", folder)))
    made.Rows, made.Columns = 36, 48
    return dicom_files.written(made)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda _: b"nothing", ["is not a DICOM file", "replace the file"]),
        (lambda _: dicom_files.content(RAMP)[:900], ["is damaged", "take it again"]),
        (lambda _: dicom_files.content(RAMP)[:200], ["take it again"]),
        (lambda _: dicom_files.content(RAMP[:, :30]), ["is 30 x 48", "table says 36 x 48"]),
        (lambda _: dicom_files.content(RAMP, Rows=60000, Columns=60000), ["more than 80000000", "reduce it"]),
        (lambda _: dicom_files.content(RAMP, NumberOfFrames=2), ["holds 2 pictures", "split it"]),
        (lambda _: dicom_files.content(RAMP, PixelData=None), ["is damaged", "take it again"]),
        (lambda _: dicom_files.content(RAMP, Rows=None), ["lacks the element(s) Rows", "no picture"]),
        (lambda _: dicom_files.content(RAMP, BitsStored=40), ["40 of 16 bits"]),
        (lambda _: dicom_files.content(RAMP, BitsStored=10, HighBit=13), ["10 of 16", "highest at 13"]),
        (
            lambda _: dicom_files.content(EIGHT, PhotometricInterpretation="PALETTE COLOR"),
            ["'PALETTE COLOR'", "MONOCHROME1"],
        ),
        (lambda _: dicom_files.content(RAMP, RescaleSlope="0"), ["RescaleSlope is 0"]),
        (lambda folder: of_another_stream(folder), ["36 x 48 pixels under a header that says 48 x 36"]),
    ],
)
def test_what_is_refused(make, words, tmp_path):
    with pytest.raises(ValueError) as caught:
        dicom.picture(make(tmp_path), (36, 48) if "under a header" in words[0] else SHAPE)
    for word in words:
        assert word in str(caught.value)


def with_syntax(syntax: str) -> bytes:
    made = dicom_files.dataset(RAMP)
    made.file_meta.TransferSyntaxUID = syntax
    made.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8\xff\xd9"])
    made["PixelData"].is_undefined_length = True
    return dicom_files.written(made)


@pytest.mark.parametrize(
    ("syntax", "words"),
    [
        (pydicom.uid.HTJ2KLossless, ["High-Throughput JPEG 2000", "1.2.840.10008.1.2.4.201", "pylibjpeg"]),
        (pydicom.uid.MPEG2MPML, ["MPEG2", "no picture"]),
        (pydicom.uid.JPEGLosslessSV1, ["is damaged", "says no size"]),
    ],
)
def test_compressions_that_nothing_reads_are_named(syntax, words):
    with pytest.raises(ValueError) as caught:
        dicom.picture(with_syntax(syntax), SHAPE)
    for word in words:
        assert word in str(caught.value)


def test_a_deflated_file_is_refused_before_it_unpacks(tmp_path):
    made = dicom_files.dataset(np.zeros((4000, 4000), np.uint16))
    made.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    data = dicom_files.written(made)
    assert len(data) < 100_000
    tracemalloc.start()
    with pytest.raises(ValueError, match="is deflated; store it uncompressed"):
        dicom.picture(data, (4000, 4000))
    (tmp_path / "x.dcm").write_bytes(data)
    with pytest.raises(DatasetError, match=r"^x.dcm: is deflated"):
        dicom.header(tmp_path / "x.dcm", tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 1e6
    tracemalloc.stop()


@pytest.mark.parametrize("kind", ["implicit", "lossless_sv1", "jpeg_ls", "jpeg_2000", "rle", "jpeg_baseline"])
def test_no_damage_escapes_as_another_exception(kind, tmp_path):
    """Bytes changed at random: a picture, or a reason in words."""
    whole = dicom_files.compressed(dicom_files.content(EIGHT), kind, tmp_path)
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(60):
        content = np.frombuffer(whole, np.uint8).copy()
        at = random.integers(132, len(content), 3) if random.random() < 0.5 else random.integers(132, 700, 3)
        content[at] = random.integers(0, 256, 3)
        try:
            assert dicom.picture(content.tobytes(), SHAPE).shape == SHAPE
        except ValueError:
            refused += 1
    assert refused > 2


def test_the_header_is_read_without_pixels(tmp_path):
    (tmp_path / "a.dcm").write_bytes(dicom_files.content(RAMP))
    read = dicom.header(tmp_path / "a.dcm")
    assert (read.PatientID, read.Rows, "PixelData" in read) == ("P_00001_LEFT_CC", 48, False)
    (tmp_path / "b.dcm").write_text("no such thing")
    with pytest.raises(DatasetError, match=r"^b.dcm: is not a DICOM file"):
        dicom.header(tmp_path / "b.dcm", tmp_path)
    with pytest.raises(DatasetError, match=r"^c.dcm: missing; put the file there"):
        dicom.header(tmp_path / "c.dcm", tmp_path)
