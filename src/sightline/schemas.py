"""Every table's schema: columns with their types in order, and the key that sorts its rows."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

TEXT, INTEGER, REAL, FLAG = pa.string(), pa.int64(), pa.float64(), pa.bool_()
INTEGERS, REALS = pa.list_(pa.int64()), pa.list_(pa.float64())


@dataclass(frozen=True)
class Schema:
    """Columns in order with their types; `key` sorts the rows and is unique; `optional` may hold nulls."""

    columns: dict[str, pa.DataType]
    key: tuple[str, ...]
    optional: frozenset[str] = frozenset()


def _schema(key: str, columns: dict[str, pa.DataType], optional: str = "") -> Schema:
    return Schema(columns, tuple(key.split()), frozenset(optional.split()))


OF_MAP = {"dataset": TEXT, "model": TEXT, "seed": INTEGER, "condition": TEXT, "method": TEXT}
SIDES = {f"{name}_{side}": kind for side in "ab" for name, kind in OF_MAP.items() if name != "dataset"}

SCHEMAS: dict[str, Schema] = {
    # ---- what a dataset holds (one row says where it came from: dataset and image)
    "images": _schema(
        "dataset image",
        {
            "dataset": TEXT,
            "image": TEXT,
            "subject": TEXT,
            "study": TEXT,
            "upstream_split": TEXT,  # as published
            "split": TEXT,  # train | validate | test, after subjects were moved
            "evaluated": FLAG,  # has a reference that the study may score against
            "path": TEXT,  # relative to the dataset's folder
            "height": INTEGER,
            "width": INTEGER,
            "view": TEXT,
            "spacing_y": REAL,  # mm per pixel
            "spacing_x": REAL,
        },
        optional="study view spacing_y spacing_x",
    ),
    "labels": _schema(
        "dataset image label",
        # raw: as upstream writes it (1, 0, -1, null); value: 1, 0 or null after the rule for uncertain labels
        {"dataset": TEXT, "image": TEXT, "label": TEXT, "value": REAL, "raw": REAL},
        optional="value raw",
    ),
    "strata": _schema(
        "dataset image stratum model seed",
        {"dataset": TEXT, "image": TEXT, "stratum": TEXT, "value": TEXT, "model": TEXT, "seed": INTEGER},
        optional="model seed",
    ),
    "boxes": _schema(
        "dataset image kind reader label index",
        {
            "dataset": TEXT,
            "image": TEXT,
            "reader": TEXT,  # "" where no reader drew it
            "kind": TEXT,  # chest | finding | marker | lung | image ...
            "label": TEXT,  # "" where the box has none
            "index": INTEGER,  # counts equal keys
            "shape": TEXT,  # rectangle | ellipse (axis-aligned, inscribed)
            "xmin": REAL,
            "ymin": REAL,
            "xmax": REAL,
            "ymax": REAL,
            "certainty": REAL,
        },
        optional="certainty",
    ),
    "masks": _schema(
        "dataset image kind index",
        {
            "dataset": TEXT,
            "image": TEXT,
            "kind": TEXT,  # lungs | heart | lesion | breast ...
            "index": INTEGER,  # counts the masks of one kind on one image: a region unites them
            # rle (CheXmask's, 1-based, row-major) | file (an image or DICOM file, path in the dataset's
            # folder) | polygons (JSON [[[x, y], ...], ...] in image pixels) | absent (there is one that
            # cannot be had, and data says why)
            "encoding": TEXT,
            "data": TEXT,
            "height": INTEGER,  # of the mask's own grid, which is stretched onto the image's
            "width": INTEGER,
        },
    ),
    "readings": _schema(
        "dataset image reader",
        # a reader's session with an image; group names the collection phase it belongs to
        {
            "dataset": TEXT,
            "image": TEXT,
            "reader": TEXT,
            "reading": TEXT,
            "group": TEXT,
            "fixations": INTEGER,
        },
    ),
    "fixations": _schema(
        "dataset image reader index",
        {
            "dataset": TEXT,
            "image": TEXT,
            "reader": TEXT,
            "index": INTEGER,
            "timestamp_start_fixation": REAL,  # seconds
            "timestamp_end_fixation": REAL,
            "x_position": REAL,  # image pixels
            "y_position": REAL,
            "angular_resolution_x_pixels_per_degree": REAL,
            "angular_resolution_y_pixels_per_degree": REAL,
            "xmin_shown_from_image": REAL,
            "ymin_shown_from_image": REAL,
            "xmax_shown_from_image": REAL,
            "ymax_shown_from_image": REAL,
        },
    ),
    "inventory": _schema("dataset path", {"dataset": TEXT, "path": TEXT, "bytes": INTEGER, "sha256": TEXT}),
    "skipped": _schema(
        "dataset stage item reason",
        {"dataset": TEXT, "stage": TEXT, "item": TEXT, "path": TEXT, "reason": TEXT},
    ),
    "cohort": _schema(
        "dataset flow step",
        # one flow chart per purpose (training, evaluation): what each filter left
        {
            "dataset": TEXT,
            "flow": TEXT,
            "step": INTEGER,
            "filter": TEXT,
            "images": INTEGER,
            "subjects": INTEGER,
        },
    ),
    "prepared": _schema(
        "dataset side geometry image",
        {
            "dataset": TEXT,
            "side": INTEGER,
            "geometry": TEXT,  # train: shortest side = side | explain: zero-padded square, as the authors
            "image": TEXT,
            "offset": INTEGER,  # in elements of the store
            "shape": INTEGERS,  # (height, width)
            "scale": REALS,  # (x, y): store pixel = scale * image pixel + shift
            "shift": REALS,
        },
    ),
    # ---- what a model gives
    "trainings": _schema(
        "model seed",
        {
            "model": TEXT,
            "seed": INTEGER,
            "epochs": INTEGER,  # that were run; 0 where finished weights were given
            "best_epoch": INTEGER,  # whose weights were kept, from 1
            "stopped": TEXT,  # epochs: all were run | patience: none was better for so long | given
            "parameters": INTEGER,
            "trained": INTEGER,  # parameters that training moves
            "initial": TEXT,  # first weights: random | random: why | pretrained: whose | file ... | given ...
        },
        optional="best_epoch",
    ),
    "curves": _schema(
        "model seed epoch quantity",
        {"model": TEXT, "seed": INTEGER, "epoch": INTEGER, "quantity": TEXT, "value": REAL},
        optional="value",
    ),
    "predictions": _schema(
        "dataset model seed condition image label",
        {
            "dataset": TEXT,
            "model": TEXT,
            "seed": INTEGER,
            "condition": TEXT,
            "image": TEXT,
            "label": TEXT,
            "logit": REAL,
            "value": REAL,
        },
        optional="value",
    ),
    "maps": _schema(
        "dataset model seed condition method image target source",
        {
            **OF_MAP,
            "image": TEXT,
            "target": TEXT,  # a label, or "" where the map serves no class
            "source": TEXT,  # the layer whose grid this is
            "status": TEXT,  # ok | not_applicable | failed
            "reason": TEXT,
            "offset": INTEGER,
            "shape": INTEGERS,  # of the grid, ([depth,] height, width)
            "scale": REALS,  # (x, y[, z]): grid index = scale * image index + shift
            "shift": REALS,
            "matrix": REALS,  # row by row, of a turned grid: scale * (matrix @ image index) + shift
            "signed": FLAG,
            "identity": TEXT,  # what gap measures: completeness, conservation, differs_from_gradient ...
            "gap": REAL,  # how far it is from holding, relative
            "all_zero": FLAG,
            "non_finite": INTEGER,
        },
        optional="reason offset shape scale shift matrix identity gap",
    ),
    "map_summary": _schema(
        "dataset model condition method",
        # what became of the maps of a method: over seeds, images, targets and sources
        {
            "dataset": TEXT,
            "model": TEXT,
            "condition": TEXT,
            "method": TEXT,
            "seeds": INTEGER,
            "images": INTEGER,
            "maps": INTEGER,
            "ok": INTEGER,
            "not_applicable": INTEGER,
            "failed": INTEGER,
            "all_zero": INTEGER,  # of those that are ok
            "reason": TEXT,  # the most frequent of those that are not ok; "" where all are
            "identity": TEXT,
            "gaps": INTEGER,  # maps with one
            "gap": REAL,  # median
            "gap_low": REAL,  # quartiles over maps
            "gap_high": REAL,
        },
        optional="identity gap gap_low gap_high",
    ),
    "artifacts": _schema(
        "dataset model seed artifact index",
        # what describes a model or a dataset as a whole: arrays to look at
        {
            "dataset": TEXT,
            "model": TEXT,
            "seed": INTEGER,
            "artifact": TEXT,  # its name in the configuration
            "index": INTEGER,  # the order in which they are shown
            "item": TEXT,  # a layer, an image, a projection ...
            "kind": TEXT,  # images | table | scatter; "" where there is none
            "status": TEXT,  # ok | not_applicable
            "reason": TEXT,
            "offset": INTEGER,
            "shape": INTEGERS,
            "facts": TEXT,  # JSON: titles, names of rows and columns, how it was made
        },
        optional="reason offset shape facts",
    ),
    # ---- references in the scoring frame
    "gaze": _schema(
        "dataset image reader",
        {
            "dataset": TEXT,
            "image": TEXT,
            "reader": TEXT,
            "status": TEXT,  # ok | empty
            "reason": TEXT,
            "offset": INTEGER,
            "shape": INTEGERS,
        },
        optional="reason offset shape",
    ),
    "center_bias": _schema(
        "dataset reference leave_out image",
        {
            "dataset": TEXT,
            "reference": TEXT,  # gaze, or the name of a region
            "leave_out": TEXT,  # none (pooled, as the authors) | image | subject
            "image": TEXT,
            "status": TEXT,
            "reason": TEXT,
            "offset": INTEGER,
            "shape": INTEGERS,
        },
        optional="reason offset shape",
    ),
    "regions": _schema(
        "dataset kind image",
        # masks and boxes as bytes 0/1 in the scoring frame
        {
            "dataset": TEXT,
            "kind": TEXT,
            "image": TEXT,
            "status": TEXT,
            "reason": TEXT,
            "offset": INTEGER,
            "shape": INTEGERS,
            "area_share": REAL,
        },
        optional="reason offset shape area_share",
    ),
    # ---- numbers
    "scores": _schema(
        "dataset model seed condition method reading reference reader metric center_bias image",
        {
            **OF_MAP,
            "reading": TEXT,
            "image": TEXT,
            "subject": TEXT,
            "reference": TEXT,
            "reader": TEXT,  # the reader left out of (or alone in) the reference; "" for a mask
            "metric": TEXT,
            "center_bias": TEXT,  # none | image | subject, "" where the metric uses none
            "value": REAL,
            "status": TEXT,  # ok | undefined | not_applicable | failed | missing
            "reason": TEXT,
        },
        optional="value reason",
    ),
    "unsettled_scores": _schema(
        "index",
        # of a shard: values that become one number once the images of all shards are there
        {
            **OF_MAP,
            "index": INTEGER,  # the order in which they were scored
            "reading": TEXT,
            "image": TEXT,
            "subject": TEXT,
            "reference": TEXT,
            "reader": TEXT,
            "metric": TEXT,
            "center_bias": TEXT,
            "values": REALS,
        },
    ),
    "agreements": _schema(
        f"dataset kind {' '.join(SIDES)} reading metric image",
        # maps against each other; the sides differ in one axis
        {
            "dataset": TEXT,
            "kind": TEXT,  # the agreement's name in the configuration
            "axis": TEXT,  # condition | seed | method | model
            **SIDES,
            "reading": TEXT,  # "a | b" where the sides have none in common
            "image": TEXT,
            "subject": TEXT,
            "metric": TEXT,
            "value": REAL,
            "status": TEXT,  # ok | undefined | not_applicable | failed | missing
            "reason": TEXT,
        },
        optional="value reason",
    ),
    "agreement_summary": _schema(
        "dataset kind model_a condition_a method_a model_b condition_b method_b reading metric",
        {
            "dataset": TEXT,
            "kind": TEXT,
            "axis": TEXT,
            **{name: kind for name, kind in SIDES.items() if not name.startswith("seed")},
            "reading": TEXT,
            "metric": TEXT,
            "mean": REAL,
            "low": REAL,
            "high": REAL,
            "sd": REAL,  # over pairs of maps
            "rows": INTEGER,
            "images": INTEGER,
            "subjects": INTEGER,
            "seeds": INTEGER,
            "excluded": INTEGER,
            "excluded_why": TEXT,
            "interval": TEXT,
        },
        optional="mean low high sd",
    ),
    "summary": _schema(
        "dataset model condition method reading reference metric center_bias stratum level",
        {
            "dataset": TEXT,
            "model": TEXT,
            "condition": TEXT,
            "method": TEXT,
            "reading": TEXT,
            "reference": TEXT,
            "metric": TEXT,
            "center_bias": TEXT,
            "stratum": TEXT,  # "" for all images
            "level": TEXT,
            "mean": REAL,
            "low": REAL,
            "high": REAL,
            "sd": REAL,  # over rows
            "rows": INTEGER,
            "images": INTEGER,
            "subjects": INTEGER,
            "seeds": INTEGER,
            "excluded": INTEGER,
            "excluded_why": TEXT,
            "interval": TEXT,  # how it was made
        },
        optional="mean low high sd",
    ),
    "comparisons": _schema(
        "family dataset reading reference metric center_bias stratum level a b",
        {
            "family": TEXT,
            "dataset": TEXT,
            "reading": TEXT,
            "reference": TEXT,
            "metric": TEXT,
            "center_bias": TEXT,
            "stratum": TEXT,
            "level": TEXT,
            "a": TEXT,
            "b": TEXT,
            "difference": REAL,
            "low": REAL,
            "high": REAL,
            "p": REAL,
            "p_corrected": REAL,
            "images": INTEGER,
            "subjects": INTEGER,
            "seeds": INTEGER,
            "test": TEXT,
            "interval": TEXT,
        },
        optional="difference low high p p_corrected",
    ),
    "contrasts": _schema(
        "dataset model condition method reading reference metric center_bias stratum",
        # two levels of a stratum: scores on the images of the first less those on the images of the second
        {
            "dataset": TEXT,
            "model": TEXT,
            "condition": TEXT,
            "method": TEXT,
            "reading": TEXT,
            "reference": TEXT,
            "metric": TEXT,
            "center_bias": TEXT,
            "stratum": TEXT,
            "first": TEXT,
            "second": TEXT,
            "difference": REAL,
            "low": REAL,
            "high": REAL,
            "status": TEXT,  # ok | undefined
            "reason": TEXT,
            "images_first": INTEGER,  # that have the level under any seed
            "images_second": INTEGER,
            "subjects": INTEGER,
            "seeds": INTEGER,
            "interval": TEXT,
        },
        optional="difference low high reason",
    ),
    "classification": _schema(
        "dataset model condition label metric",
        # label "mean" is the mean over the labels that have the metric
        {
            "dataset": TEXT,
            "model": TEXT,
            "condition": TEXT,
            "label": TEXT,
            "metric": TEXT,
            "value": REAL,
            "low": REAL,
            "high": REAL,
            "positives": INTEGER,
            "images": INTEGER,
            "seeds": INTEGER,
            "status": TEXT,  # ok | undefined
            "interval": TEXT,  # how it was made, or why there is none
        },
        optional="value low high",
    ),
    "confusions": _schema(
        "dataset model condition seed label truth predicted",
        # images by what is true and what is said: of labels that exclude each other by label (label "all"),
        # of others for each label "positive" and "negative"
        {
            "dataset": TEXT,
            "model": TEXT,
            "condition": TEXT,
            "seed": INTEGER,
            "label": TEXT,
            "truth": TEXT,
            "predicted": TEXT,
            "count": INTEGER,
        },
    ),
    "confusion_shares": _schema(
        "dataset model condition label truth predicted",
        # of the images with a truth, the share that each answer has; means over seeds
        {
            "dataset": TEXT,
            "model": TEXT,
            "condition": TEXT,
            "label": TEXT,
            "truth": TEXT,
            "predicted": TEXT,
            "count": REAL,  # of images
            "share": REAL,
            "low": REAL,
            "high": REAL,
            "seeds": INTEGER,
            "status": TEXT,
            "interval": TEXT,
        },
        optional="share low high",
    ),
    "calibration": _schema(
        "dataset model condition label bin",
        # how often a label is there where the model gives it a probability; label "all" takes labels together
        {
            "dataset": TEXT,
            "model": TEXT,
            "condition": TEXT,
            "label": TEXT,
            "bin": INTEGER,
            "bin_low": REAL,
            "bin_high": REAL,
            "predicted": REAL,  # the bin's mean probability
            "observed": REAL,  # the share of positives
            "low": REAL,
            "high": REAL,
            "images": REAL,  # mean over seeds
            "seeds": INTEGER,  # with images in the bin
            "status": TEXT,
            "interval": TEXT,
        },
        optional="predicted observed low high",
    ),
    "discrimination": _schema(
        "dataset model condition label curve point",
        # curves over all thresholds, means over seeds: roc (true over false positive rate), pr (precision
        # over recall)
        {
            "dataset": TEXT,
            "model": TEXT,
            "condition": TEXT,
            "label": TEXT,
            "curve": TEXT,
            "point": INTEGER,
            "x": REAL,
            "y": REAL,
            "low": REAL,
            "high": REAL,
            "seeds": INTEGER,
            "status": TEXT,
            "interval": TEXT,
        },
        optional="y low high",
    ),
    # what explaining is expected to cost; it differs from run to run, and nothing is made from it
    "planned_costs": _schema(
        "dataset model method probe chosen at_most targets placement",
        {
            "dataset": TEXT,
            "model": TEXT,
            "method": TEXT,
            "probe": TEXT,  # "" for the explaining itself
            "chosen": TEXT,  # evaluated | test
            "at_most": INTEGER,  # of these; null for all
            "targets": TEXT,
            "placement": TEXT,
            "cells": INTEGER,  # seeds and conditions
            "images": INTEGER,
            "forwards": REAL,  # rows through the network of one cell
            "backwards": REAL,
            "seconds": REAL,  # of all cells, one after the other
            "memory_bytes": REAL,
            "storage_bytes": REAL,  # of all cells
            "device": TEXT,
            "status": TEXT,  # ok | not_applicable | failed
            "reason": TEXT,
        },
        optional="at_most reason",
    ),
    "costs": _schema(
        "dataset model seed condition method",
        # what a job took that made maps; apart, because it may differ from run to run
        {
            **OF_MAP,
            "maps": INTEGER,  # that are ok
            "images": INTEGER,
            "seconds": REAL,
            "cpu_seconds": REAL,
            "peak_bytes": INTEGER,
            "device": TEXT,
            "seconds_per_map": REAL,
        },
        optional="seconds cpu_seconds peak_bytes device seconds_per_map",
    ),
}
