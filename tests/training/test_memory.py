import torch

from pretune.training.memory import PeakMemory

MIB = 2**20


def test_the_peak_is_of_this_stretch():
    def fill(size):
        return torch.ones(size * MIB // 4)

    fill(400)
    memory = PeakMemory(torch.device("cpu"))
    before = memory.read()
    fill(200)
    grown = memory.read() - before
    # 200 MiB were held and given back; the 400 MiB before do not count.
    assert 150 * MIB < grown < 300 * MIB
