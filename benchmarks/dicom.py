"""Preparing mammograms of 4600 x 3000 from DICOM beside a plain pydicom loop, and its memory."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import gdcm
import numpy as np
import pandas as pd
import pydicom
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset

from benchmarks.measuring import Row, cpu_seconds, load
from sightline import tables
from sightline.preparing import preparation

SHAPE, SIDE = (4600, 3000), 224
IMAGES, REPEATS = 8, 3
HELD = 16  # images from which on a worker's allocator asks for no more
CORES = len(os.sched_getaffinity(0))
HOW = {"find": "breast", "crop": True}
KINDS = {"uncompressed": None, "lossless JPEG": gdcm.TransferSyntax.JPEGLosslessProcess14_1}
SLOWER, GROWTH = 1.3, 1.1  # at most: prepare over decoding alone, memory of four times the images


def film() -> np.ndarray:
    """Half an ellipse of tissue with noise in 12 of 16 bits: uint16 of `SHAPE`."""
    y, x = np.ogrid[: SHAPE[0], : SHAPE[1]]
    depth = 1.0 - np.hypot(x / (0.6 * SHAPE[1]), (y - SHAPE[0] / 2) / (0.4 * SHAPE[0]))
    tissue = np.where(depth > 0, 900.0 + 2400.0 * np.clip(depth, 0.0, 1.0), 60.0)
    noise = np.random.default_rng(0).normal(0.0, 20.0, SHAPE)
    return np.clip(tissue + noise, 0, 4095).astype(np.uint16)


def write(path: Path, pixels: np.ndarray) -> None:
    """An uncompressed DICOM file."""
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    made.SOPClassUID = uid.DigitalMammographyXRayImageStorageForPresentation
    made.SOPInstanceUID, made.Modality, made.PhotometricInterpretation = "1.2.3", "MG", "MONOCHROME2"
    made.Rows, made.Columns = pixels.shape
    made.SamplesPerPixel, made.PixelRepresentation = 1, 0
    made.BitsAllocated, made.BitsStored, made.HighBit = 16, 12, 11
    made.PixelData = pixels.astype("<u2").tobytes()
    made.save_as(path, enforce_file_format=True)


def compress(source: Path, target: Path, syntax: int) -> None:
    """The file in another transfer syntax, by GDCM."""
    reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    reader.SetFileName(str(source))
    if not reader.Read():
        raise SystemExit(f"{source}: GDCM does not read it")
    change.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    change.SetInput(reader.GetImage())
    if not change.Change():
        raise SystemExit(f"{source}: GDCM does not compress it")
    writer.SetFileName(str(target))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    if not writer.Write():
        raise SystemExit(f"{target}: GDCM does not write it")


def files(folder: Path, count: int) -> None:
    """`count` names for one file of each of `KINDS`: what is read lies in the machine's cache."""
    write(folder / "source.dcm", film())
    for number, (kind, syntax) in enumerate(KINDS.items()):
        first = folder / f"{number}-0.dcm"
        if syntax is None:
            first.hardlink_to(folder / "source.dcm")
        else:
            compress(folder / "source.dcm", first, syntax)
        for copy in range(1, count):
            (folder / f"{number}-{copy}.dcm").hardlink_to(first)
        print(f"  {kind}: {first.stat().st_size / 1e6:.0f} MB a file")


def table(number: int, count: int) -> pd.DataFrame:
    """Table `images` of `count` names for the file of a kind, as far as `prepare` reads it."""
    names = [f"{number}-{copy}.dcm" for copy in range(count)]
    sizes = {"split": "test", "height": SHAPE[0], "width": SHAPE[1], "dataset": "made_up"}
    return pd.DataFrame({"image": names, "path": names}).assign(**sizes)


def prepared(folder: Path, number: int, count: int, workers: int) -> None:
    """Prepare `count` mammograms of a kind."""
    how = preparation.Preparation(**HOW)
    outputs = {output: folder / "out" / f"{name}.parquet" for name, output in preparation.OUTPUTS.items()}
    outputs["pixels"] = folder / "out" / "pixels.npy"
    preparation.prepare(table(number, count), folder, [SIDE], outputs, how, workers)
    made = {name: tables.read(name, outputs[output]) for name, output in preparation.OUTPUTS.items()}
    if len(made["prepared"]) != count or len(made["boxes"]) != count:
        raise SystemExit(f"not all were prepared: {made['skipped']['reason'].tolist()}")


def plain(folder: Path, number: int, count: int) -> None:
    """What anyone writes first."""
    for copy in range(count):
        pydicom.dcmread(folder / f"{number}-{copy}.dcm").pixel_array  # noqa: B018 (decodes)


def fastest(call: Callable[[], object], repeats: int) -> float:
    """CPU seconds of the fastest of `repeats` calls."""
    return min(cpu_seconds(call) for _ in range(repeats))


def peak(folder: Path, count: int) -> float:
    """The most bytes that one of two workers held that prepared `count` uncompressed mammograms."""
    held = "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    call = f"dicom.prepared(Path({str(folder)!r}), 0, {count}, 2)"
    code = f"import resource; from pathlib import Path; from benchmarks import dicom; {call}; {held}"
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    return 1024.0 * int(done.stdout)


def run(quick: bool) -> list[Row]:
    """Mammograms a second, what finding and resizing add to decoding, and memory."""
    count, repeats = (4, 1) if quick else (IMAGES, REPEATS)
    rows = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        print(f"{count} of {SHAPE[0]} x {SHAPE[1]}, 12 bits; breast found and cut out; best of {repeats}")
        files(folder, 4 * HELD)
        for number, kind in enumerate(KINDS):
            loop = fastest(lambda at=number: plain(folder, at, count), repeats) / count
            own = fastest(lambda at=number: prepared(folder, at, count, 1), repeats) / count
            start = time.perf_counter()
            prepared(folder, number, 2 * count, CORES)
            rate = 2 * count / (time.perf_counter() - start)
            told = f"{1 / own:.2f}, {1 / loop:.2f}"
            rows.append(Row(f"mammograms a CPU second, {kind}: prepare, pydicom's loop", told))
            rows.append(Row(f"mammograms a second, {kind}, {CORES} workers (load {load()})", f"{rate:.2f}"))
            if KINDS[kind] is not None:
                what = f"CPU time of prepare over decoding alone, {kind}"
                rows.append(Row(what, f"{own / loop:.2f}x", f"at most {SLOWER}x", own <= SLOWER * loop))
        few, many = peak(folder, HELD), peak(folder, 4 * HELD)
        rows.append(Row(f"peak memory of a worker, {HELD} mammograms", f"{few / 1e9:.2f} GB"))
        what, ratio = f"peak memory of a worker, {4 * HELD} mammograms over {HELD}", many / few
        rows.append(Row(what, f"{ratio:.2f}x", f"at most {GROWTH}x", ratio <= GROWTH))
    return rows
