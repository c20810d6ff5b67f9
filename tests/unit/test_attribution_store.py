"""Batches and shards, maps on disk and back."""

import numpy as np
import pytest
import torch

from sightline import tables
from sightline.attribution import maps, store
from sightline.attribution.batches import Batch, plan
from sightline.attribution.maps import Explained, Explanation, Maps, Method, classes
from sightline.errors import ConfigError, IntegrityError
from sightline.frames import Frame
from sightline.models.architectures import ag_sononet
from sightline.shards import Shard

LABELS = ("zebra", "ant", "fox")  # not in alphabetical order: the store must keep the model's
GRADCAM = Method("gradcam")
IDENTITY = {"dataset": "d", "model": "m", "seed": 0, "condition": "clean", "method": "gradcam"}
INPUTS = {f"i{n:02}": Frame.resized((320, 300 + 8 * (n % 3)), (32, 32 + 16 * (n % 2))) for n in range(11)}


def model(labels=LABELS) -> Explained:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = ag_sononet.build(len(labels), width=2)
    return Explained(network, labels, ag_sononet.LAYERS, ag_sononet.ATTENTION)


def load(batch: Batch) -> torch.Tensor:
    shape = batch.frames[0].shape
    seeds = [torch.Generator().manual_seed(int(image[1:])) for image in batch.images]
    return torch.stack([torch.randn((3, *shape), generator=seed) for seed in seeds])


def written(folder, name, batches, method=GRADCAM, loader=load):
    paths = folder / f"{name}.parquet", folder / f"{name}.npy"
    outputs = store.write(maps.run(method, model(), batches, loader), IDENTITY, LABELS, *paths)
    return paths, outputs


# ---- batches


def test_batches_hold_one_shape_each_and_do_not_depend_on_the_order_given():
    batches = plan(INPUTS, 4)
    assert plan(dict(reversed(INPUTS.items())), 4) == batches
    assert sorted(image for batch in batches for image in batch.images) == sorted(INPUTS)
    for batch in batches:
        assert len({frame.shape for frame in batch.frames}) == 1
        assert len(batch.images) <= 4
        assert list(batch.images) == sorted(batch.images)
        assert batch.frames == tuple(INPUTS[image] for image in batch.images)
    assert [len(batch.images) for batch in batches] == [4, 2, 4, 1]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
def test_shards_are_whole_batches_and_together_all(count):
    batches = plan(INPUTS, 4)
    assert [batch for index in range(count) for batch in Shard(index, count).of(batches)] == batches


@pytest.mark.parametrize(("index", "count"), [(2, 2), (-1, 3), (0, 0)])
def test_a_shard_that_there_is_not(index, count):
    with pytest.raises(ConfigError, match="shard"):
        Shard(index, count)


def test_a_batch_holds_an_image():
    with pytest.raises(ConfigError, match="at least 1"):
        plan(INPUTS, 0)


# ---- on disk and back


def test_maps_come_back_with_classes_in_order_and_frames_in_image_coordinates(tmp_path):
    batches = plan(INPUTS, 4)
    paths, outputs = written(tmp_path, "all", batches)
    kept = store.MapStore(*paths)
    assert kept.images == sorted(INPUTS)
    for explanation in maps.run(Method("gradcam"), model(), batches, load):
        for index, image in enumerate(explanation.batch.images):
            assert kept.problem(image) is None
            sources = kept.get(image)
            assert [source.source for source in sources] == ["gated1", "gated2", "ungated"]
            for source, expected in zip(sources, explanation.maps):
                assert source.targets == LABELS
                np.testing.assert_array_equal(source.values, expected.values[index])
                assert source.frame == INPUTS[image].then(expected.frame)
            logits = outputs[outputs["image"] == image].set_index("label")["logit"]
            np.testing.assert_allclose(logits[list(LABELS)], explanation.outputs[index], rtol=1e-6)
    # the pooling network's coarsest cells stretch over the whole image
    frame = kept.get("i01")[2].frame
    assert frame.shape == (2, 3)
    np.testing.assert_allclose(frame.scale, Frame.resized((320, 308), (2, 3)).scale)
    np.testing.assert_allclose(frame.shift, Frame.resized((320, 308), (2, 3)).shift)


def test_every_image_target_and_source_is_a_row(tmp_path):
    paths, _ = written(tmp_path, "all", plan(INPUTS, 4))
    table = tables.read("maps", paths[0])
    assert len(table) == 11 * 3 * 3
    assert set(table["status"]) == {"ok"}
    assert (table["non_finite"] == 0).all()
    assert not table["all_zero"].any()
    assert table["signed"].all()


def test_shards_joined_are_the_bytes_of_one_job(tmp_path):
    batches = plan(INPUTS, 3)
    whole, _ = written(tmp_path, "whole", batches)
    parts = [written(tmp_path, f"part{index}", Shard(index, 3).of(batches))[0] for index in range(3)]
    joined = tmp_path / "joined.parquet", tmp_path / "joined.npy"
    store.concatenate(parts, *joined)
    for one, other in zip(whole, joined):
        assert one.read_bytes() == other.read_bytes()


def test_failed_and_unsuited_maps_are_rows_that_say_why(tmp_path):
    def fragile(batch):
        # two channels: the network refuses
        return load(batch)[:, :2] if "i00" in batch.images else load(batch)

    paths, outputs = written(tmp_path, "some", plan(INPUTS, 4), loader=fragile)
    kept = store.MapStore(*paths)
    assert kept.problem("i00")[0] == "failed"
    assert "channels" in kept.problem("i00")[1]
    assert kept.get("i00") == []
    assert kept.problem("i01") is None
    assert "i00" not in set(outputs["image"])
    assert kept.problem("nobody")[0] == "missing"
    table = tables.read("maps", paths[0])
    assert list(table[table["image"] == "i00"]["target"]) == sorted(LABELS)

    paths, outputs = written(tmp_path, "none", plan(INPUTS, 4), Method("attention", {"name": "am9"}))
    kept = store.MapStore(*paths)
    assert {kept.problem(image)[0] for image in INPUTS} == {"not_applicable"}
    assert len(outputs) == 11 * 3
    joined = tmp_path / "joined.parquet", tmp_path / "joined.npy"
    store.concatenate([paths], *joined)  # rows without values join too
    assert joined[0].read_bytes() == paths[0].read_bytes()


def paths_of(folder, name):
    return folder / f"{name}.parquet", folder / f"{name}.npy"


def test_zero_and_broken_maps_are_flagged(tmp_path):
    values = np.arange(1.0, 13.0, dtype=np.float32).reshape(1, 3, 2, 2)
    values[0, 0] = 0
    values[0, 1, 0, 0], values[0, 1, 1, 1] = np.nan, np.inf
    made = Maps("layer", LABELS, values, Frame.resized((8, 8), (2, 2)), True, np.array([[0.1, 0.2, 0.3]]))
    batch = Batch(("i",), (Frame.of_image((8, 8)),))
    store.write(
        [Explanation(batch, classes(LABELS), "ok", None, [made], np.zeros((1, 3)), "completeness")],
        IDENTITY,
        LABELS,
        *paths_of(tmp_path, "x"),
    )
    table = tables.read("maps", tmp_path / "x.parquet").set_index("target")
    assert table.loc["zebra", ["status", "all_zero"]].tolist() == ["ok", True]
    assert table.loc["ant", ["status", "non_finite", "all_zero"]].tolist() == ["failed", 2, False]
    assert "2 of 4" in table.loc["ant", "reason"]
    assert table.loc["fox", "gap"] == pytest.approx(0.3)
    kept = store.MapStore(*paths_of(tmp_path, "x"))
    assert kept.problem("i")[0] == "failed"
    (source,) = kept.get("i")
    assert source.targets == ("zebra", "fox")
    np.testing.assert_array_equal(source.values, values[0, [0, 2]])


def test_values_of_another_run_are_refused(tmp_path):
    paths, _ = written(tmp_path, "all", plan(INPUTS, 4))
    other, _ = written(tmp_path, "few", plan({"i00": INPUTS["i00"]}, 4))
    with pytest.raises(IntegrityError, match=r"few\.npy: does not belong"):
        [store.MapStore(paths[0], other[1]).get(image) for image in INPUTS]


def test_nothing_is_left_after_an_error(tmp_path):
    def broken(batch):
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        written(tmp_path, "x", plan(INPUTS, 4), loader=broken)
    assert list(tmp_path.iterdir()) == []
