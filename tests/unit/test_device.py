"""The device of a job: by name or found, alone on its GPU, computing exactly; no GPU is needed to test it."""

import os

import pytest
import torch

from sightline.errors import ConfigError
from sightline.models import device
from sightline.running import leases
from tests.unit.made_up_gpus import LISTING, ONE, TWO, machine

__all__ = ["machine"]


@pytest.fixture
def exactness(monkeypatch):
    """The settings of torch that choosing a GPU changes, as they were afterwards."""
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "")
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", True)
    for name in ("allow_tf32", "benchmark", "deterministic"):
        monkeypatch.setattr(torch.backends.cudnn, name, name != "deterministic")
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    yield
    torch.use_deterministic_algorithms(False)


def test_a_gpu_is_leased_and_alone_seen(machine, exactness):
    machine(LISTING)
    assert device.named("auto") == torch.device("cuda", 0)
    assert (leases.held().identity, os.environ[leases.VISIBLE]) == (ONE, ONE)
    assert os.environ["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    assert device.named("auto") == device.named("cuda") == torch.device("cuda", 0)  # the one that is held
    assert not torch.cuda.is_initialized()


def test_a_gpu_by_its_number(machine, exactness, monkeypatch):
    machine(LISTING)
    monkeypatch.setenv("SIGHTLINE_DEVICE", "cuda:1")
    assert device.named("cpu") == torch.device("cpu") and leases.held() is None
    assert device.named("auto") == torch.device("cuda", 0)
    assert os.environ[leases.VISIBLE] == TWO


def test_what_a_gpu_computes_is_exact_and_repeatable(machine, exactness):
    machine(LISTING)
    device.named("cuda")
    cudnn = torch.backends.cudnn
    assert not torch.backends.cuda.matmul.allow_tf32 and not cudnn.allow_tf32
    assert cudnn.deterministic and not cudnn.benchmark
    assert torch.are_deterministic_algorithms_enabled()
    assert torch.is_deterministic_algorithms_warn_only_enabled()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def test_without_a_gpu_auto_is_the_cpu_and_says_why(machine, monkeypatch, capsys):
    machine("No devices found.\n", code=6)
    assert device.named("auto") == torch.device("cpu")
    assert "device: cpu; no GPU (nvidia-smi -L: No devices found.)" in capsys.readouterr().out
    machine(LISTING)
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.version, "hip", None)
    assert device.named("auto") == torch.device("cpu")
    assert "is built for the CPU alone" in capsys.readouterr().out


def test_what_slurm_did_not_grant_is_not_taken(machine, exactness, monkeypatch, capsys):
    machine(LISTING)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert device.named("auto") == torch.device("cpu") and leases.held() is None
    assert "device: cpu; no GPU (SLURM granted this job no GPU: ask for one" in capsys.readouterr().out
    with pytest.raises(ConfigError, match=r"device 'cuda'.*--set-resources <rule>:device=cuda.*--gpus=1"):
        device.named("cuda")
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert device.named("auto") == torch.device("cpu")
    monkeypatch.setenv("SLURM_JOB_GPUS", "0")
    assert device.named("auto").type == "cuda"


def test_without_nvidia_smi_torch_counts(machine, exactness, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert device.named("cuda:1") == torch.device("cuda", 1)
    assert leases.held().identity == "1" and leases.VISIBLE not in os.environ


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gpu", "device 'gpu': unknown; use 'auto', 'cpu'"),
        ("cuda:", "unknown"),
        ("cpu:1", "unknown"),
        ("cuda:2", r"'cuda:2': this process may use Card B \(GPU-bbbb2222-0\) \(CUDA_VISIBLE_DEVICES=1 of 2"),
        ("cuda:1", "Card B"),
    ],
)
def test_what_is_not_there_is_said_with_what_is(machine, monkeypatch, name, message):
    machine(LISTING)
    monkeypatch.setenv(leases.VISIBLE, "1")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    with pytest.raises(ConfigError, match=message):
        device.named(name)
    assert leases.held() is None


def test_no_gpu_of_a_kind_is_an_error(machine, monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="device 'mps': this torch finds no GPU of Apple's"):
        device.named("mps")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert device.named("mps") == torch.device("mps") and leases.held().identity == "mps"
    leases.release()
    machine("No devices found.\n", code=6)
    with pytest.raises(ConfigError, match="device 'cuda': this process may use no GPU .*No devices found"):
        device.named("cuda")
    monkeypatch.setenv("SIGHTLINE_DEVICE", "tpu")
    with pytest.raises(ConfigError, match=r"device 'tpu' \(SIGHTLINE_DEVICE\): unknown"):
        device.named("auto")


def test_a_gpu_that_was_computed_on_without_a_lease_is_an_error(machine, exactness, monkeypatch):
    machine(LISTING)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    with pytest.raises(RuntimeError, match="before one was leased"):
        device.named("cuda")
