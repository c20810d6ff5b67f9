"""The measured micro-batch: a device with a made-up clock, and one real run of the command."""

import json

import pytest
import torch
from torch import nn

from sightline.attribution import micro_batch


class Device:
    """A clock that each pass moves on, by a start and a time per row, until the memory is full."""

    def __init__(self, start: float, row: float, fits: int = 10**6, slows: int = 10**6):
        self.now, self.start, self.row, self.fits, self.slows = 0.0, start, row, fits, slows
        self.sizes: list[int] = []

    def run(self, rows: int) -> None:
        if rows > self.fits:
            raise torch.OutOfMemoryError(f"{rows} rows")
        self.sizes.append(rows)
        self.now += self.start + self.row * rows * (3 if rows > self.slows else 1)

    def timings(self, **options) -> list[micro_batch.Timing]:
        return micro_batch.timings(self.run, lambda: self.sizes[-1], clock=lambda: self.now, **options)


def test_rates_are_rows_per_second_of_the_clock():
    found = Device(start=1.0, row=0.5).timings(most=8, seconds=10)
    assert [one.rows for one in found] == [1, 2, 4, 8]
    assert [one.rate for one in found] == pytest.approx([1 / 1.5, 2 / 2, 4 / 3, 8 / 5])
    assert [one.peak for one in found] == [1, 2, 4, 8]


def test_a_device_that_gains_from_more_rows_gets_as_many_as_are_needed():
    device = Device(start=0.010, row=0.001)
    found = device.timings(most=4096)
    chosen = micro_batch.recommended(found)
    # n / (10 + n) of the limit: 256 / 266 is within 5 % of 1024 / 1034, 128 / 138 is not
    assert chosen == 256
    assert max(device.sizes) == 1024  # twice no faster, by as much, than 256: the search ends


def test_a_processor_that_gains_nothing_gets_single_rows():
    found = Device(start=0.0, row=0.2).timings()
    assert micro_batch.recommended(found) == 1
    assert [one.rows for one in found] == [1, 2, 4]


def test_the_search_goes_over_one_slow_size_but_not_over_two():
    class Odd(Device):
        def run(self, rows):
            super().run(rows)
            self.now += 1.0 if rows == 4 else 0.0

    found = Odd(start=1.0, row=0.01).timings(most=32)
    assert [one.rows for one in found] == [1, 2, 4, 8, 16, 32]
    assert micro_batch.recommended(found) == 32
    assert [one.rows for one in Device(1.0, 0.1, slows=4).timings(most=256)] == [1, 2, 4, 8, 16]


def test_what_does_not_fit_the_memory_ends_the_search():
    device = Device(start=1.0, row=0.001, fits=20)
    found = device.timings()
    assert [one.rows for one in found] == [1, 2, 4, 8, 16]
    assert micro_batch.recommended(found) == 16
    with pytest.raises(torch.OutOfMemoryError):
        Device(start=1.0, row=0.001, fits=0).timings()


@pytest.mark.parametrize("gradients", [False, True])
def test_passes_go_through_the_network_with_as_many_rows(gradients):
    class Seen(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.rows, self.back = nn.Conv2d(2, 1, 3), [], []

        def forward(self, x):
            self.rows.append(tuple(x.shape))
            if x.requires_grad:
                x.register_hook(lambda gradient: self.back.append(len(gradient)))
            return self.layer(x).flatten(1)

    network = Seen()
    run = micro_batch.passes(network, (2, 8, 9), torch.device("cpu"), gradients)
    run(3), run(5)
    assert network.rows == [(3, 2, 8, 9), (5, 2, 8, 9)]
    assert network.back == ([3, 5] if gradients else [])
    assert not network.training
    assert micro_batch.measured(network, (2, 8, 9), torch.device("cpu"), gradients, most=1) == 1


def test_the_command_prints_the_table_and_the_key(capsys):
    threads = torch.get_num_threads()
    try:
        micro_batch.main(
            ["--architecture", "sononet16", "--options", json.dumps({"width": 2}), "--shape", "3", "32", "32",
             "--outputs", "3", "--device", "cpu", "--most", "2", "--seconds", "0.01"]
        )  # fmt: skip
    finally:
        torch.set_num_threads(threads)
    printed = capsys.readouterr().out
    lines = [line for line in printed.splitlines() if line.startswith("|")]
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["1", "2"]
    assert "compute:\n  micro_batch: " in printed
