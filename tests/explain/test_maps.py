"""Maps: numbers worked by hand, properties, an independent computation, and no trace left behind."""

import random

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ablate.errors import UserError
from ablate.explain.maps import completeness, explain, predict
from ablate.explain.methods import METHODS, SLOW, layer_names, layer_problems, method_problems
from ablate.model.resnet import gbn_resnet

LAYERS = ["layer1", "layer2", "layer3", "layer4"]


class MeanHead(nn.Module):
    """picture -> `layer` -> mean over the cells -> linear."""

    def __init__(self, layer: nn.Module, weight: list[list[float]], bias: list[float]) -> None:
        super().__init__()
        self.layer = layer
        self.fc = nn.Linear(len(weight[0]), len(weight))
        self.fc.weight.data, self.fc.bias.data = torch.tensor(weight), torch.tensor(bias)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.layer(x).mean(dim=(2, 3)))
        return logits


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(0)
    net = gbn_resnet(18, num_classes=5, width=4, ghost_size=4)
    for _ in range(3):  # running statistics of their own
        net(torch.randn(8, 3, 32, 32))
    return net


@pytest.fixture
def images() -> Tensor:
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def test_grad_cam_of_a_network_small_enough_to_do_by_hand():
    net = MeanHead(nn.Identity(), weight=[[2.0, 0.0, 1.0], [-1.0, 0.0, 0.0]], bias=[0.5, 0.0])
    image = torch.tensor([[[[0.0, 4.0], [0.0, 0.0]], [[7.0, 7.0], [7.0, 7.0]], [[8.0, 0.0], [0.0, 0.0]]]])
    found = explain(net, image.repeat(2, 1, 1, 1), [0, 1], ["layer"])
    # Class 0: d logit / d pixel is 2/4 in the first channel, 0 in the second, 1/4 in the third, so the map is
    # 0.5 * first + 0.25 * third; its sum, 4, is the logit without the bias. Class 1: -1/4 * first.
    assert found.maps["layer"].tolist() == [[[2.0, 2.0], [0.0, 0.0]], [[0.0, -1.0], [0.0, 0.0]]]
    assert found.logits.tolist() == [[4.5, -1.0], [4.5, -1.0]]
    assert completeness(net, image, found, "layer").tolist() == [0.0, 0.0]


def test_the_weights_of_ablation_cam_keep_their_sign_when_the_logit_is_negative():
    net = MeanHead(nn.Identity(), weight=[[4.0, 0.0, -8.0]], bias=[0.0])
    image = torch.tensor([[[[0.0, 1.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 0.0]]]])
    # The logit is 1 - 2 = -1. Without the first channel it falls by 1, without the third it rises by 2: the first one
    # spoke for the class and the third against it.
    assert explain(net, image, [0], ["layer"], "ablationcam").maps["layer"].tolist() == [[[-2.0, 1.0], [0.0, 0.0]]]


def test_every_method_gives_finite_maps_at_the_layers_own_size(net, images):
    for method in METHODS:
        found = explain(net, images, [0, 3, 4], LAYERS[2:] if method in SLOW else LAYERS, method)
        sizes = {"layer1": 32, "layer2": 16, "layer3": 8, "layer4": 4}
        assert {layer: m.shape for layer, m in found.maps.items()} == {
            layer: (3, sizes[layer], sizes[layer]) for layer in found.maps
        }
        assert all(m.dtype == np.float32 and np.isfinite(m).all() and np.ptp(m) > 0 for m in found.maps.values()), (
            method
        )


def test_grad_cam_equals_its_two_equations_computed_with_autograd(net, images):
    classes = torch.tensor([4, 0, 2])
    net.eval()
    for layer in LAYERS:
        kept: list[Tensor] = []
        handle = net.get_submodule(layer).register_forward_hook(lambda _m, _i, output, kept=kept: kept.append(output))
        logits = net(images)
        handle.remove()
        (gradient,) = torch.autograd.grad(logits[range(3), classes].sum(), kept[0])
        weights = gradient.mean(dim=(2, 3))
        expected = torch.einsum("nc,nchw->nhw", weights, kept[0]).detach()
        hires = (gradient * kept[0]).sum(1).detach()
        maps = explain(net, images, classes, [layer]).maps[layer]
        torch.testing.assert_close(torch.from_numpy(maps), expected, atol=1e-6, rtol=1e-4)
        maps = explain(net, images, classes, [layer], "hirescam").maps[layer]
        torch.testing.assert_close(torch.from_numpy(maps), hires, atol=1e-6, rtol=1e-4)


def test_the_order_of_the_layers_does_not_matter(net, images):
    forwards, backwards = (explain(net, images, [0, 1, 2], layers).maps for layers in (LAYERS, LAYERS[::-1]))
    assert all(np.array_equal(forwards[layer], backwards[layer]) for layer in LAYERS)


def test_many_pictures_are_explained_in_parts_like_few(net):
    images = torch.randn(70, 3, 32, 32)
    whole = explain(net, images, [0] * 70, ["layer3"]).maps["layer3"]
    last = explain(net, images[64:], [0] * 6, ["layer3"]).maps["layer3"]
    np.testing.assert_allclose(whole[64:], last, atol=1e-6)


def test_at_the_last_block_the_map_adds_up_to_the_logit_and_before_it_does_not(net, images):
    for method in ("gradcam", "hirescam"):
        found = explain(net, images, [0, 1, 2], ["layer3", "layer4"], method)
        assert np.abs(completeness(net, images, found, "layer4")).max() < 1e-5
        assert np.abs(completeness(net, images, found, "layer3")).max() > 1e-3
    wrong = explain(net, images, [0, 1, 2], ["layer4"], "layercam")
    assert np.abs(completeness(net, images, wrong, "layer4")).max() > 1e-3


def test_a_layer_that_is_overwritten_in_place_is_explained_as_it_was():
    conv = nn.Conv2d(3, 3, 1, bias=False)
    conv.weight.data = -torch.eye(3)[:, :, None, None]
    net = MeanHead(nn.Sequential(conv, nn.ReLU(inplace=True)), weight=[[1.0, 1.0, 1.0]], bias=[0.0])
    image = torch.tensor([-1.0, 3.0]).view(1, 1, 1, 2).expand(1, 3, 1, 2)
    # The convolution gives 1 and -3, the ReLU makes 1 and 0 of it. The gradient is 1/2 where the ReLU is open.
    assert explain(net, image, [0], ["layer.0"], "hirescam").maps["layer.0"].tolist() == [[[1.5, 0.0]]]
    assert explain(net, image, [0], ["layer.0"], "gradcam").maps["layer.0"].tolist() == [[[0.75, -2.25]]]


@pytest.mark.parametrize("method", METHODS)
def test_nothing_is_touched(net, images, method):
    net.train()
    net.layer1.eval()
    net.layer2.requires_grad_(False)
    for p in net.parameters():
        p.grad = torch.ones_like(p)
    state = {k: v.clone() for k, v in net.state_dict().items()}
    modes = [m.training for m in net.modules()]
    torch.manual_seed(3), random.seed(3), np.random.seed(3)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    picture = images.clone()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        explain(net, picture, [0, 1, 2], ["layer4"], method)
        assert torch.is_autocast_enabled("cpu")
        assert not torch.is_grad_enabled()
    after = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]
    assert torch.equal(picture, images)
    assert modes == [m.training for m in net.modules()]
    assert all(torch.equal(state[k], v) for k, v in net.state_dict().items())
    assert all((p.grad == 1).all() for p in net.parameters())
    assert [p.requires_grad for p in net.layer2.parameters()] == [False] * len(list(net.layer2.parameters()))
    assert not any(m._forward_hooks or m._backward_hooks or m._forward_pre_hooks for m in net.modules())


def test_the_same_maps_under_inference_mode_and_autocast(net, images):
    expected = explain(net, images, [0, 1, 2], ["layer3"]).maps["layer3"]
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        picture = images + 0  # made here, it could take no part in a gradient
        assert np.array_equal(explain(net, picture, [0, 1, 2], ["layer3"]).maps["layer3"], expected)
        assert torch.is_inference_mode_enabled()


def test_the_same_maps_of_a_compiled_network(net, images):
    net.eval()
    expected = explain(net, images, [0, 1, 2], ["layer3"]).maps["layer3"]
    whole = torch.compile(net, backend="eager")
    with torch.no_grad():
        whole(images)  # compiled before anything is hooked
    assert np.array_equal(explain(whole, images, [0, 1, 2], ["layer3"]).maps["layer3"], expected)
    net.layer3 = torch.compile(net.layer3, backend="eager")
    with torch.no_grad():
        net(images)
    assert np.array_equal(explain(net, images, [0, 1, 2], ["layer3"]).maps["layer3"], expected)


def test_a_half_precision_network_is_explained_in_full_precision(net, images):
    found = explain(net.bfloat16(), images.bfloat16(), [0, 1, 2], ["layer4"])
    assert found.logits.dtype == np.float32
    assert np.abs(completeness(net, images.bfloat16(), found, "layer4")).max() < 1e-5


def test_the_same_maps_of_a_network_wrapped_for_data_parallel_training(net, images, tmp_path):
    expected = explain(net, images, [0, 1, 2], ["layer3"]).maps["layer3"]
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1)
    try:
        wrapped = nn.parallel.DistributedDataParallel(net)
        assert np.array_equal(explain(wrapped, images, [0, 1, 2], ["layer3"]).maps["layer3"], expected)
    finally:
        torch.distributed.destroy_process_group()


def test_random_cam_draws_from_its_seed_alone(net, images):
    def random_maps(seed: int) -> np.ndarray:
        return explain(net, images, [0, 1, 2], ["layer4"], "randomcam", seed=seed).maps["layer4"]

    assert np.array_equal(random_maps(1), random_maps(1))
    assert not np.array_equal(random_maps(1), random_maps(2))


def test_a_prediction_is_that_of_eval_mode(net, images):
    expected = net.eval()(images)
    net.train()
    torch.testing.assert_close(torch.from_numpy(predict(net, images)), expected.detach())


def test_wrong_requests_are_named_with_a_way_out(net, images):
    with pytest.raises(UserError, match=r"layer9.*\n.*layer1, layer2, layer3, layer4.*\n.*layers=\[layer4\]"):
        explain(net, images, [0, 1, 2], ["layer9"])
    with pytest.raises(UserError, match=r"method=grad-cam\n.*gradcam, hirescam.*\n.*method=gradcam"):
        explain(net, images, [0, 1, 2], ["layer4"], "grad-cam")
    with pytest.raises(UserError, match=r"'fc', which gives \[\(3, 5\)\]\n.*\(N, C, h, w\)"):
        explain(net, images, [0, 1, 2], ["fc"])
    with pytest.raises(UserError, match=r"layers=\[\]"):
        explain(net, images, [0, 1, 2], [])
    (problem,) = layer_problems(net, "layr3", "callbacks.misclassified.layer")
    assert (problem.given, problem.fix) == (
        "callbacks.misclassified.layer=layr3",
        "callbacks.misclassified.layer=layer3",
    )


@pytest.mark.parametrize("method", sorted(SLOW))
def test_slow_methods_wait_until_the_training_is_over(net, method):
    assert method_problems(method) == []
    (problem,) = method_problems(method, "callbacks.gradcam.method", training=True)
    assert problem.given.startswith(f"callbacks.gradcam.method={method}, which takes seconds a picture")
    assert method not in problem.allowed
    assert f"python -m ablate explain RUN --method {method}" in problem.fix


def test_the_layers_offered_are_the_ones_with_maps(net, images):
    assert layer_names(net) == ["conv1", *LAYERS]
    explain(net, images, [0, 1, 2], layer_names(net))
