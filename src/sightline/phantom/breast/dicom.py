"""DICOM files of films: one grey picture, uncompressed (Explicit VR Little Endian), always the same bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
DIGITAL_MAMMOGRAM = "1.2.840.10008.5.1.4.1.1.1.2"  # for presentation
WRITER = "1.2.826.0.1.3680043.8.498.1"  # pydicom's root: its writer's class
DATE, TIME = "20160720", "120000"


def write(path: Path, pixels: np.ndarray, stored: int, kind: str, **elements: object) -> None:
    """Write `pixels` (H, W), uint8 or uint16, as a DICOM file of SOP class `kind`.

    `stored`: bits that the values use, of 8 or 16. `elements`: the other elements by keyword; they must name
    SOPInstanceUID. Higher values are brighter (MONOCHROME2), and no window is given.
    """
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    allocated = 8 * pixels.dtype.itemsize
    file = Dataset()
    file.SOPClassUID = kind
    file.Modality = "MG"
    file.SamplesPerPixel = 1
    file.PhotometricInterpretation = "MONOCHROME2"
    file.Rows, file.Columns = pixels.shape
    file.BitsAllocated, file.BitsStored, file.HighBit = allocated, stored, stored - 1
    file.PixelRepresentation = 0
    for keyword, value in elements.items():
        setattr(file, keyword, value)
    data = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("<")).tobytes()
    file.PixelData = data + b"\0" * (len(data) % 2)
    file["PixelData"].VR = "OB" if allocated == 8 else "OW"
    file.file_meta = FileMetaDataset()
    file.file_meta.MediaStorageSOPClassUID = kind
    file.file_meta.MediaStorageSOPInstanceUID = file.SOPInstanceUID
    file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file.file_meta.ImplementationClassUID = WRITER
    file.file_meta.ImplementationVersionName = "SIGHTLINE"
    path.parent.mkdir(parents=True, exist_ok=True)
    file.save_as(path, enforce_file_format=True)
