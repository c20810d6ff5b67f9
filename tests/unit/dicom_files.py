"""DICOM files for tests: bytes of a small picture with the elements that a test asks for."""

from __future__ import annotations

import io
from pathlib import Path

import gdcm
import numpy as np
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset

SYNTAXES = {
    "lossless": gdcm.TransferSyntax.JPEGLosslessProcess14,
    "lossless_sv1": gdcm.TransferSyntax.JPEGLosslessProcess14_1,
    "jpeg_ls": gdcm.TransferSyntax.JPEGLSLossless,
    "jpeg_2000": gdcm.TransferSyntax.JPEG2000Lossless,
    "rle": gdcm.TransferSyntax.RLELossless,
    "big_endian": gdcm.TransferSyntax.ExplicitVRBigEndian,
    "implicit": gdcm.TransferSyntax.ImplicitVRLittleEndian,
    "jpeg_baseline": gdcm.TransferSyntax.JPEGBaselineProcess1,
}


def dataset(pixels: np.ndarray, **elements: object) -> Dataset:
    """A dataset of whole numbers (H, W) or (H, W, 3); `elements` are set last, None takes one away."""
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = uid.DigitalMammographyXRayImageStorageForPresentation
    made.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    made.SOPClassUID, made.SOPInstanceUID = made.file_meta.MediaStorageSOPClassUID, "1.2.3.4"
    made.PatientID, made.Modality = "P_00001_LEFT_CC", "MG"
    bits = 8 * pixels.dtype.itemsize
    made.Rows, made.Columns = pixels.shape[:2]
    made.SamplesPerPixel = 1 if pixels.ndim == 2 else 3
    made.PhotometricInterpretation = "MONOCHROME2" if pixels.ndim == 2 else "RGB"
    if pixels.ndim == 3:
        made.PlanarConfiguration = 0
    made.BitsAllocated = made.BitsStored = bits
    made.HighBit = bits - 1
    made.PixelRepresentation = int(pixels.dtype.kind == "i")
    made.PixelData = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    made["PixelData"].VR = "OB" if bits == 8 else "OW"
    for name, value in elements.items():
        if value is None:
            delattr(made, name)
        else:
            setattr(made, name, value)
    return made


def content(pixels: np.ndarray, **elements: object) -> bytes:
    """The bytes of an uncompressed file of `dataset`."""
    return written(dataset(pixels, **elements))


def written(made: Dataset) -> bytes:
    """The bytes of a dataset as a file."""
    file = io.BytesIO()
    made.save_as(file, enforce_file_format=True)
    return file.getvalue()


def compressed(data: bytes, kind: str, folder: Path) -> bytes:
    """A file's bytes in another transfer syntax of `SYNTAXES`, by GDCM."""
    (folder / "in.dcm").write_bytes(data)
    reader = gdcm.ImageReader()
    reader.SetFileName(str(folder / "in.dcm"))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(SYNTAXES[kind]))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(folder / "out.dcm"))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    return (folder / "out.dcm").read_bytes()
